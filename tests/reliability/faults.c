/* Makes a system call fail, for the tests of reliability: loaded by LD_PRELOAD.
 *
 * fault_arm(folder, call, n, how, error) makes the n-th call (from 1) of that name on a file below
 * `folder` fail with `error`, write only a part, or kill the process.  fault_seen() says how many
 * such calls there were, fault_done() whether the fault came.  One thread of the process calls.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum how { NOTHING, ERROR, ONE_BYTE, HALF, ALL_BUT_ONE, KILL, KILL_BEHIND };

static char folder[PATH_MAX];
static char call[32];
static long want, seen;
static int kind, number, done;

void fault_arm(const char *below, const char *name, long n, int how, int error)
{
	snprintf(folder, sizeof folder, "%s/", below);
	snprintf(call, sizeof call, "%s", name);
	want = n;
	kind = how;
	number = error;
	seen = 0;
	done = 0;
}

long fault_seen(void) { return seen; }

int fault_done(void) { return done; }

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

/* Whether it is this call's turn. */
static int due(const char *name, const char *path)
{
	if (kind == NOTHING || strcmp(name, call) || strncmp(path, folder, strlen(folder)))
		return 0;
	if (++seen != want)
		return 0;
	done = 1;
	if (kind == KILL)
		raise(SIGKILL);
	return 1;
}

static int due_fd(const char *name, int fd)
{
	char link[64], path[PATH_MAX];
	ssize_t length;

	if (kind == NOTHING || strcmp(name, call))
		return 0;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	length = readlink(link, path, sizeof path - 1);
	if (length < 0)
		return 0;
	path[length] = 0;
	return due(name, path);
}

static int refuse(void)
{
	errno = number;
	return -1;
}

ssize_t write(int fd, const void *data, size_t size)
{
	ssize_t (*next)(int, const void *, size_t) = real("write");
	size_t part = size;

	if (!due_fd("write", fd))
		return next(fd, data, size);
	if (kind == ERROR)
		return refuse();
	if (kind == ONE_BYTE)
		part = 1;
	else if (kind == HALF)
		part = size / 2;
	else if (kind == ALL_BUT_ONE)
		part = size - 1;
	if (kind != KILL_BEHIND)
		return next(fd, data, part);
	next(fd, data, size / 2);
	raise(SIGKILL);
	return -1;
}

/* The others have no part that could be done: the call is made before the kill, or not at all. */
#define AFTER(made)                                                                              \
	do {                                                                                     \
		if (kind == ERROR)                                                               \
			return refuse();                                                         \
		(void)(made);                                                                    \
		raise(SIGKILL);                                                                  \
	} while (0)

int fdatasync(int fd)
{
	int (*next)(int) = real("fdatasync");

	if (due_fd("fdatasync", fd))
		AFTER(next(fd));
	return next(fd);
}

int fsync(int fd)
{
	int (*next)(int) = real("fsync");

	if (due_fd("fsync", fd))
		AFTER(next(fd));
	return next(fd);
}

/* As Linux does it: the descriptor is gone, whatever close(2) returns. */
int close(int fd)
{
	int (*next)(int) = real("close");

	if (due_fd("close", fd)) {
		next(fd);
		AFTER(0);
	}
	return next(fd);
}

int rename(const char *from, const char *to)
{
	int (*next)(const char *, const char *) = real("rename");

	if (due("rename", from))
		AFTER(next(from, to));
	return next(from, to);
}

#define OPEN(name)                                                                               \
	int name(const char *path, int flags, ...)                                               \
	{                                                                                        \
		int (*next)(const char *, int, ...) = real(#name);                               \
		mode_t mode;                                                                     \
		va_list more;                                                                    \
                                                                                                 \
		va_start(more, flags);                                                           \
		mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;                               \
		va_end(more);                                                                    \
		if (due("open", path))                                                           \
			AFTER(next(path, flags, mode));                                          \
		return next(path, flags, mode);                                                  \
	}

#define OPENAT(name)                                                                             \
	int name(int at, const char *path, int flags, ...)                                       \
	{                                                                                        \
		int (*next)(int, const char *, int, ...) = real(#name);                          \
		mode_t mode;                                                                     \
		va_list more;                                                                    \
                                                                                                 \
		va_start(more, flags);                                                           \
		mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;                               \
		va_end(more);                                                                    \
		if (due("open", path))                                                           \
			AFTER(next(at, path, flags, mode));                                      \
		return next(at, path, flags, mode);                                              \
	}

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
