"""Records, structlog events and warnings become messages of the node they belong to."""

import asyncio
import logging
import logging.config
import logging.handlers
import os
import queue
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TextIO

import pytest
import structlog

from observability import AuditHandler, ExecutionObserver, JournalError, structlog_processor
from observability.messages.captured_warnings import CapturedWarnings
from replay.fold import read_report
from tests.writing.oracle import assert_complete, traces

DAY = 86_400


def made(out: Path, name: str = "step_04_logging", **more: Any) -> ExecutionObserver:
    return ExecutionObserver(name, out, use_tqdm=False, **more)


@pytest.fixture
def observer(memory: Path) -> Iterator[ExecutionObserver]:
    opened = made(memory)
    yield opened
    opened.close()


@pytest.fixture
def handler() -> AuditHandler:
    return AuditHandler()


@pytest.fixture
def log(handler: AuditHandler) -> logging.Logger:
    """A logger with that handler and no other one: pytest adds its own to those that it finds."""
    logger = logging.Logger("app.db", 1)  # noqa: LOG001 - so
    logger.addHandler(handler)
    return logger


def messages(out: Path) -> list[dict[str, Any]]:
    return [
        line for found in traces(out).values() for line in found if line["event_type"] == "message"
    ]


def places(out: Path) -> list[tuple[str, Any, Any]]:
    """Return text, node id and index of each message."""
    return [(m["text"], m.get("node_id"), m.get("node_index")) for m in messages(out)]


# --- Records


def test_a_record_is_a_message_of_the_current_node(
    memory: Path, observer: ExecutionObserver, log: logging.Logger
) -> None:
    log.info("before %s", "all")
    with observer.node("load", 0):
        log.warning("slow: %d ms", 1200, extra={"table": "orders", "ms": 1200})

    said, slow = messages(memory)
    assert (said["text"], said["level"], "node_id" in said) == ("before all", "note", False)
    assert (slow["text"], slow["level"]) == ("slow: 1200 ms", "warning")
    assert (slow["node_id"], slow["node_index"]) == ("load", 0)
    assert (slow["logger"], slow["level_name"]) == ("app.db", "WARNING")
    assert slow["extra"] == {"table": "orders", "ms": 1200}
    assert slow["occurred_at"] <= slow["timestamp"]
    assert slow["occurred_at"][:10] in {said["timestamp"][:10], slow["timestamp"][:10]}
    assert len(slow["occurred_at"]) == len(slow["timestamp"])
    assert "error" not in slow
    assert "omitted" not in slow


@pytest.mark.parametrize(
    ("number", "level", "name"),
    [
        (1, "note", "Level 1"),
        (logging.DEBUG, "note", "DEBUG"),
        (logging.INFO, "note", "INFO"),
        (logging.WARNING - 1, "note", "Level 29"),
        (logging.WARNING, "warning", "WARNING"),
        (logging.ERROR - 1, "warning", "Level 39"),
        (logging.ERROR, "error", "ERROR"),
        (logging.CRITICAL, "error", "CRITICAL"),
        (99, "error", "Level 99"),
    ],
)
def test_levels_are_mapped_to_three(
    memory: Path, log: logging.Logger, number: int, level: str, name: str
) -> None:
    with made(memory):
        log.log(number, "said")

    (message,) = messages(memory)
    assert (message["level"], message["level_name"]) == (level, name)


def test_an_exception_stands_with_type_text_and_traceback(
    memory: Path, observer: ExecutionObserver, log: logging.Logger
) -> None:
    with observer.node("load"):
        try:
            raise KeyError("no such column") from ValueError("cause")
        except KeyError:
            log.exception("load failed")

    (message,) = messages(memory)
    assert (message["level"], message["text"]) == ("error", "load failed")
    assert (message["error_type"], message["error"]) == ("KeyError", "'no such column'")
    assert "ValueError: cause" in message["traceback"]
    assert "test_an_exception_stands_with" in message["traceback"]
    assert observer.nodes_failed == 0


def test_a_long_traceback_and_a_long_text_are_cut(
    memory: Path, observer: ExecutionObserver, log: logging.Logger
) -> None:
    try:
        raise ValueError("\x00" * 3_000_000)
    except ValueError:
        log.exception("y" * 3_000_000)

    (message,) = messages(memory)
    assert len(message["text"]) == len(message["error"]) == len(message["traceback"]) == 65_536
    assert observer.is_open


def test_a_secret_is_not_cut_in_two(
    memory: Path, observer: ExecutionObserver, log: logging.Logger
) -> None:
    """Half of a token is no token to the rules, and stood there."""
    token = "ghp_" + "a1B2" * 9
    log.info("%s %s", "x" * (65_536 - 20), token)

    (message,) = messages(memory)
    assert "ghp_" not in message["text"]
    assert observer.is_open


def test_no_secret_of_an_error_is_cut_in_two(memory: Path) -> None:
    """A key without its head, which the cut took away, was no key to the rules."""
    key = f"-----BEGIN PRIVATE KEY-----\n{'MIIE' * 200}\n-----END PRIVATE KEY-----"
    with made(memory) as observer:
        observer.node_start("a")
        observer.node_failure("a", ValueError(f"{key} {'x' * 65_500}"), 0.1)
        observer.node_start("b")
        observer.node_failure("b", ValueError(f"{'x' * 65_500} {key}"), 0.1)

    assert "MIIEMIIE" not in observer.audit_trace_file.read_text()


def test_the_place_of_a_record_stands_where_it_was_asked_for(
    memory: Path, observer: ExecutionObserver, log: logging.Logger
) -> None:
    log.info("here", stack_info=True)
    log.exception("outside of an except")  # noqa: LOG004 - people do

    here, outside = messages(memory)
    assert "test_the_place_of_a_record" in here["traceback"]
    assert "traceback" not in outside
    assert "error_type" not in outside
    assert observer.is_open


def test_secrets_are_redacted_in_text_fields_and_tracebacks(
    memory: Path, observer: ExecutionObserver, log: logging.Logger
) -> None:
    try:
        raise ValueError("password=hunter2hunter2")
    except ValueError:
        log.exception(
            "token: %s",
            "ghp_" + "a1B2" * 9,
            extra={"api_key": "k" * 30, "deep": {"pwd": "hunter2"}},
        )
    observer.workflow_complete()

    for path in memory.rglob("*"):
        if path.is_file():
            text = path.read_text()
            assert "hunter2" not in text, path
            assert "ghp_" not in text, path
            assert "kkkkkk" not in text, path
    assert messages(memory)[0]["extra"]["api_key"] == "[REDACTED:key]"


def test_values_beside_the_text_keep_their_forms_and_others_are_named(
    memory: Path, observer: ExecutionObserver, log: logging.Logger
) -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    log.info(
        "said",
        extra={
            "rows": 3, "nothing": None, "mean": float("nan"), "made": object(), "cycle": cycle,
            "long": "x" * 70_000, "pair": (1, 2), "hash": "not of the envelope",
        },
    )  # fmt: skip

    (message,) = messages(memory)
    assert message["extra"] == {
        "rows": 3, "nothing": None, "mean": "NaN", "pair": [1, 2], "hash": "not of the envelope"
    }  # fmt: skip
    assert message["coerced"] == ["extra.mean"]
    assert message["omitted"] == ["made", "cycle", "long"]
    assert observer.is_open


def test_a_formatter_changes_nothing(
    memory: Path, observer: ExecutionObserver, log: logging.Logger, handler: AuditHandler
) -> None:
    """`basicConfig` sets one: level, name and traceback stood in the text as well."""
    handler.setFormatter(logging.Formatter(logging.BASIC_FORMAT))
    log.info("said")

    assert places(memory) == [("said", None, None)]
    assert observer.is_open


def test_filters_and_levels_of_the_handler_hold(
    memory: Path, observer: ExecutionObserver, log: logging.Logger, handler: AuditHandler
) -> None:
    handler.setLevel("WARNING")
    handler.addFilter(lambda record: "secret" not in record.getMessage())
    log.info("too low")
    log.warning("secret")
    log.warning("said")

    assert places(memory) == [("said", None, None)]
    assert handler.dropped == 0
    assert observer.is_open


def test_it_can_be_named_in_a_configuration(memory: Path, observer: ExecutionObserver) -> None:
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"audit": {"class": "observability.AuditHandler", "level": "INFO"}},
            "loggers": {"configured": {"handlers": ["audit"], "level": 1, "propagate": False}},
        }
    )
    logger = logging.getLogger("configured")
    logger.debug("too low")
    logger.info("said")
    logger.handlers.clear()

    assert places(memory) == [("said", None, None)]
    assert observer.is_open


# --- Whose message it is


def test_with_no_observer_records_are_counted(
    log: logging.Logger, handler: AuditHandler, capfd: pytest.CaptureFixture[str]
) -> None:
    log.info("nobody")
    log.error("hears")

    assert handler.dropped == 2
    assert capfd.readouterr() == ("", "")


def test_after_the_end_records_are_counted(
    memory: Path, log: logging.Logger, handler: AuditHandler, capfd: pytest.CaptureFixture[str]
) -> None:
    with made(memory) as observer:
        log.info("in it")
    capfd.readouterr()
    log.info("behind it")
    handler_of_it = AuditHandler(observer=observer)
    handler_of_it.handle(logging.LogRecord("x", 20, "x.py", 1, "said", (), None))

    assert (handler.dropped, handler_of_it.dropped) == (1, 1)
    assert [m["text"] for m in messages(memory)] == ["in it"]
    assert capfd.readouterr() == ("", "")
    assert_complete(memory)


def test_a_run_that_ends_while_threads_log_loses_none_silently(
    memory: Path, log: logging.Logger, handler: AuditHandler, capfd: pytest.CaptureFixture[str]
) -> None:
    begun = threading.Barrier(5, timeout=60)

    def work() -> None:
        begun.wait()
        for n in range(300):
            log.info("%d", n)

    observer = made(memory)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(work)
        begun.wait()
        observer.workflow_complete()

    assert len(messages(memory)) + handler.dropped == 1200
    assert "Logging error" not in capfd.readouterr().err
    assert_complete(memory)


def test_a_handler_of_one_observer_tells_no_other_one(tmp_path: Path, log: logging.Logger) -> None:
    one, other = made(tmp_path / "one"), made(tmp_path / "other")
    log.addHandler(AuditHandler(observer=one))
    with one, one.node("a"), other, other.node("b"):
        log.info("said")

    assert places(tmp_path / "one") == [("said", "a", None)]
    assert places(tmp_path / "other") == [("said", "b", None)]


def test_records_of_threads_and_tasks_belong_to_their_own_nodes(
    memory: Path, observer: ExecutionObserver, log: logging.Logger
) -> None:
    @observer.traced(name="thread")
    def in_thread(n: int) -> None:
        log.info("thread %d", n)

    async def in_task(n: int) -> None:
        with observer.node("task", n):
            await asyncio.sleep(0)
            log.info("task %d", n)

    async def main() -> None:
        await asyncio.gather(*map(in_task, range(20)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(in_thread, range(20)))
    asyncio.run(main())

    found = places(memory)
    assert sorted(place for place in found if place[1] == "task") == sorted(
        (f"task {n}", "task", n) for n in range(20)
    )
    assert sorted(place[2] for place in found if place[1] == "thread") == list(range(20))


def test_a_fork_logs_into_its_own_file(
    memory: Path, observer: ExecutionObserver, log: logging.Logger
) -> None:
    with observer.node("a", 1):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                log.info("in the child")
                observer.close()
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        log.info("in the parent")
    observer.workflow_complete()

    assert sorted(places(memory)) == [("in the child", "a", 1), ("in the parent", "a", 1)]
    assert len(traces(memory)) == 2
    assert_complete(memory)


def test_what_a_queue_carried_says_when_it_happened(
    memory: Path, observer: ExecutionObserver, handler: AuditHandler
) -> None:
    carried: queue.Queue[logging.LogRecord] = queue.Queue()
    logger = logging.Logger("queued")  # noqa: LOG001 - as above
    logger.addHandler(logging.handlers.QueueHandler(carried))
    try:
        raise ValueError("x")
    except ValueError:
        logger.exception("failed")
    record = carried.get()
    record.created = DAY + 0.25

    handler.handle(record)

    (message,) = messages(memory)
    assert message["occurred_at"] == "1970-01-02T00:00:00.250000Z"
    assert "ValueError: x" in message["text"]
    assert observer.is_open


@pytest.mark.parametrize("created", [float("nan"), float("inf"), -1e12, 1e300])
def test_a_record_of_no_time_is_recorded_without_one(
    memory: Path, observer: ExecutionObserver, handler: AuditHandler, created: float
) -> None:
    handler.handle(logging.makeLogRecord({"msg": "said", "levelno": 20, "created": created}))

    (message,) = messages(memory)
    assert (message["text"], message["occurred_at"]) == ("said", None)
    assert (handler.dropped, observer.is_open) == (0, True)


@pytest.mark.parametrize(
    "text",
    ["\x1b]0;title\x07red", "two\r\nlines [2026] FORGED", "lone \ud800", "\x00", None, {"a": 1}],
)
def test_hostile_texts_and_names_leave_lines_that_everybody_reads(memory: Path, text: Any) -> None:
    with made(memory) as observer:
        handler = AuditHandler()
        odd: dict[Any, Any] = {
            "msg": text,
            "levelno": 30,
            "name": f"{text}",
            "levelname": f"{text}",
            5: 3,
            None: 4,
        }
        handler.handle(logging.makeLogRecord({**odd, f"key {text}": text}))

    assert handler.dropped == 0
    assert len(messages(memory)) == 1
    assert_complete(memory)
    log_text = observer.audit_log_file.read_text()
    assert not any(ord(c) < 32 and c != "\n" for c in log_text)
    assert "\nlines" not in log_text
    assert read_report(memory)["warnings"] == 1


# --- Without recursion, without failing the program


class Talking:
    """Says something while its text is asked for."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log

    def __str__(self) -> str:
        self._log.info("asked: %s", self)
        return "talking"


def test_a_text_that_logs_while_it_is_made_is_said_once(
    memory: Path, observer: ExecutionObserver, log: logging.Logger, handler: AuditHandler
) -> None:
    log.info("%s", Talking(log))

    assert places(memory) == [("talking", None, None)]
    assert handler.dropped == 1
    assert observer.is_open


def test_a_redact_callable_that_logs_does_not_ask_itself_for_ever(
    memory: Path, log: logging.Logger, handler: AuditHandler
) -> None:
    def ask(key: str, _: str) -> None:
        log.info("asked about %s", key)

    with made(memory, redact=ask) as observer, observer.node("a"):
        log.info("said")

    texts = [m["text"] for m in messages(memory)]
    assert "said" in texts
    assert handler.dropped > 0
    assert_complete(memory)


def test_a_record_that_cannot_be_made_is_told_as_logging_does(
    memory: Path,
    observer: ExecutionObserver,
    log: logging.Logger,
    handler: AuditHandler,
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.info("%d rows", "three")
    log.info("said")

    assert capsys.readouterr().err.startswith("--- Logging error ---\n")
    assert places(memory) == [("said", None, None)]
    assert handler.dropped == 1
    assert observer.is_open


def test_a_closed_stderr_is_no_error(
    memory: Path, observer: ExecutionObserver, log: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (memory / "stderr").open("w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
    log.info("%d rows", "three")
    structlog_processor(None, "info", {"event": Mute()})
    monkeypatch.setattr(sys, "stderr", None)
    log.info("%d rows", "three")
    structlog_processor(None, "info", {"event": Mute()})

    assert messages(memory) == []
    assert observer.is_open


class Mute:
    def __str__(self) -> str:
        raise ValueError("no text")


def removed(out: Path) -> None:
    for path in out.rglob("trace_*.jsonl"):
        path.unlink()


def test_a_trace_that_cannot_be_written_does_not_fail_a_log_call(
    memory: Path, log: logging.Logger, handler: AuditHandler, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under `raise` every event of the program raises; a log call is no event of the program."""
    observer = made(memory, durability="always")
    removed(memory)
    log.info("lost")
    assert "JournalError" in capsys.readouterr().err
    log.info("in the file that follows")
    with pytest.raises(JournalError, match="trace_04"):
        observer.close()  # the removed trace is in no report

    assert [m["text"] for m in messages(memory)] == ["in the file that follows"]
    assert handler.dropped == 1


def test_what_the_journal_warns_of_is_not_said_for_ever(
    memory: Path, log: logging.Logger, handler: AuditHandler
) -> None:
    """A warning of the journal, taken by `logging`, comes back while the event is written."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        shown = logging.getLogger("py.warnings")
        shown.addHandler(handler)
        shown.propagate = False
        try:
            observer = made(memory, durability="always", on_error="warn")
            removed(memory)
            for n in range(20):
                log.info("%d", n)
            observer.close()
        finally:
            logging.captureWarnings(False)
            shown.removeHandler(handler)
            shown.propagate = True

    texts = [m["text"] for m in messages(memory)]
    assert len(texts) < 30
    assert len([text for text in texts if "dropped" in text]) <= 2


def test_two_threads_that_log_and_emit_do_not_wait_for_each_other(
    memory: Path, observer: ExecutionObserver, log: logging.Logger
) -> None:
    """A lock around the handler was held by one, the journal's by the other, for ever."""
    inside, logged = threading.Event(), threading.Event()

    class Slow:
        def __str__(self) -> str:
            inside.set()
            assert logged.wait(60)
            return "slow"

    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(log.info, "%s", Slow())
        assert inside.wait(60)
        with observer._live.journal.lock:
            log.info("fast")
        logged.set()
        slow.result(60)

    assert [m["text"] for m in messages(memory)] == ["fast", "slow"]


def test_logging_at_the_end_of_the_interpreter_is_no_error(tmp_path: Path) -> None:
    program = """
import atexit, logging
atexit.register(lambda: logging.info("last"))
from observability import AuditHandler, ExecutionObserver
logging.basicConfig(level="INFO", handlers=[AuditHandler()])
class Late:
    def __del__(self):
        logging.warning("later")
late = Late()
observer = ExecutionObserver("step_04_end", "out", use_tqdm=False)
observer.node_start("a")
logging.info("said")
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "said" in [m["text"] for m in messages(tmp_path / "out")]


# --- structlog


@pytest.fixture
def structured() -> Iterator[Any]:
    """A logger of structlog that renders JSON into a list."""
    rendered: list[str] = []

    class Lines:
        name = "app.lines"

        def msg(self, text: str) -> None:
            rendered.append(text)

        debug = info = warning = error = critical = exception = fatal = warn = msg

    structlog.reset_defaults()
    logger = structlog.wrap_logger(
        Lines(),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog_processor,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
    )
    yield logger.bind(rendered=len(rendered)), rendered
    structlog.reset_defaults()


def test_an_event_of_structlog_is_a_message_and_goes_on_as_it_was(
    memory: Path, observer: ExecutionObserver, structured: Any
) -> None:
    logger, rendered = structured
    with observer.node("load", 2), structlog.contextvars.bound_contextvars(request="r1"):
        logger.warning("slow", ms=1200, password="hunter2hunter2")

    (message,) = messages(memory)
    assert (message["text"], message["level"], message["level_name"]) == (
        "slow", "warning", "WARNING"
    )  # fmt: skip
    assert (message["node_id"], message["node_index"]) == ("load", 2)
    assert message["logger"] == "app.lines"
    assert message["extra"]["request"] == "r1"
    assert (message["extra"]["ms"], message["extra"]["password"]) == (1200, "[REDACTED:key]")
    assert '"password": "hunter2hunter2"' in rendered[0]


@pytest.mark.parametrize("how", ["call", "true", "object", "tuple"])
def test_exceptions_of_structlog_stand_with_type_and_traceback(
    memory: Path, observer: ExecutionObserver, structured: Any, how: str
) -> None:
    logger, rendered = structured
    try:
        raise ValueError("no such column")
    except ValueError as error:
        if how == "call":
            logger.exception("failed")
        else:
            info = {"true": True, "object": error, "tuple": sys.exc_info()}[how]
            logger.error("failed", exc_info=info)  # noqa: TRY400 - the other way to say it

    (message,) = messages(memory)
    assert (message["level"], message["error_type"]) == ("error", "ValueError")
    assert "no such column" in message["traceback"]
    assert "exc_info" not in message.get("extra", {})
    assert "ValueError: no such column" in rendered[0]
    assert observer.is_open


def test_a_structlog_chain_over_logging_says_its_loggers_name(
    memory: Path, observer: ExecutionObserver
) -> None:
    logger = structlog.wrap_logger(
        logging.getLogger("app.under"),
        processors=[structlog.stdlib.add_logger_name, structlog_processor, _drop],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    logger.error("said", rows=3)

    (message,) = messages(memory)
    assert (message["logger"], message["level"], message["extra"]) == (
        "app.under", "error", {"rows": 3}
    )  # fmt: skip
    assert observer.is_open


def _drop(*_: Any) -> Any:
    raise structlog.DropEvent


def test_structlog_goes_on_without_an_observer_and_when_recording_fails(
    memory: Path, structured: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    logger, rendered = structured
    logger.info("nobody hears")
    observer = made(memory)
    capsys.readouterr()
    assert structlog_processor(None, "info", {"event": Mute(), "_hidden": 1})
    logger.info("said", _hidden=1)
    observer.close()

    assert capsys.readouterr().err == (
        "auditfold: a message was not recorded: ValueError: no text\n"
    )
    assert len(rendered) == 2
    (message,) = messages(memory)
    assert message["text"] == "said"
    assert "_hidden" not in message["extra"]


def test_structlog_is_not_imported_by_its_processor() -> None:
    program = (
        "import sys; from observability import structlog_processor; assert callable("
        "structlog_processor); assert 'structlog' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


# --- Warnings


class Shown:
    """A user's own `showwarning`, which notes what it is shown."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(  # noqa: PLR0917 - as `warnings` calls it
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        assert (issubclass(category, Warning), lineno > 0, file, line) == (True, True, None, None)
        self.texts.append(f"{message}" if filename else "no file")


def hook() -> Any:
    return warnings.showwarning


@pytest.fixture
def shown() -> Iterator[Shown]:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        mine = Shown()
        warnings.showwarning = mine
        yield mine
        assert warnings.showwarning is mine


def test_a_warning_is_recorded_and_shown_as_before(
    memory: Path, observer: ExecutionObserver, shown: Shown
) -> None:
    warnings.warn("before", UserWarning, stacklevel=1)
    with observer.capture_warnings(), observer.node("load", 1):
        warnings.warn("password=hunter2hunter2 is old", DeprecationWarning, stacklevel=1)
    warnings.warn("behind", UserWarning, stacklevel=1)

    (message,) = messages(memory)
    assert message["level"] == "warning"
    assert message["text"] == "password=[REDACTED:password] is old"
    assert (message["node_id"], message["node_index"]) == ("load", 1)
    assert message["category"] == "DeprecationWarning"
    file, _, line = message["place"].rpartition(":")
    assert (Path(file).name, line.isdigit()) == ("test_logging.py", True)
    assert shown.texts == ["before", "password=hunter2hunter2 is old", "behind"]


def test_without_a_hook_of_the_user_warnings_stand_on_stderr(tmp_path: Path) -> None:
    program = """
import warnings
from observability import ExecutionObserver
with ExecutionObserver("step_04_warn", "out", use_tqdm=False) as obs, obs.capture_warnings():
    warnings.warn("old")
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    assert done.stderr == "<string>:5: UserWarning: old\n"
    assert [m["text"] for m in messages(tmp_path / "out")] == ["old"]


def test_a_block_within_a_block_records_once(
    memory: Path, observer: ExecutionObserver, shown: Shown
) -> None:
    with observer.capture_warnings(), observer.capture_warnings():
        warnings.warn("inner", UserWarning, stacklevel=1)
    with observer.capture_warnings():
        warnings.warn("again", UserWarning, stacklevel=1)

    assert [m["text"] for m in messages(memory)] == ["inner", "again"]
    assert shown.texts == ["inner", "again"]


def test_blocks_may_end_in_the_order_in_which_they_began(
    memory: Path, observer: ExecutionObserver, shown: Shown
) -> None:
    """Two threads do that: the hook of the one that ended stayed, or took the other's away."""
    first, second = observer.capture_warnings(), observer.capture_warnings()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    warnings.warn("one is left", UserWarning, stacklevel=1)
    second.__exit__(None, None, None)
    warnings.warn("none is left", UserWarning, stacklevel=1)

    assert [m["text"] for m in messages(memory)] == ["one is left"]
    assert shown.texts == ["one is left", "none is left"]


def test_blocks_of_many_threads_leave_the_hook_that_was_there(
    memory: Path, observer: ExecutionObserver, shown: Shown
) -> None:
    def work(n: int) -> None:
        for m in range(100):
            with observer.capture_warnings():
                warnings.warn(f"{n} {m}", UserWarning, stacklevel=1)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))

    assert hook() is shown
    said = sorted(f"{n} {m}" for n in range(4) for m in range(100))
    assert sorted(m["text"] for m in messages(memory)) == sorted(shown.texts) == said


def test_a_warning_belongs_to_the_observer_and_node_it_was_raised_in(
    tmp_path: Path, shown: Shown
) -> None:
    def work(observer: ExecutionObserver) -> None:
        for n in range(30):
            with observer.node("a", n):
                warnings.warn(f"{observer.workflow_id} {n}", UserWarning, stacklevel=1)

    one, other = made(tmp_path / "one", "step_01_one"), made(tmp_path / "other", "step_02_other")
    with (
        one,
        other,
        one.capture_warnings(),
        other.capture_warnings(),
        ThreadPoolExecutor(2) as pool,
    ):
        list(pool.map(work, [one, other]))

    for name, workflow in (("one", "step_01_one"), ("other", "step_02_other")):
        assert places(tmp_path / name) == [(f"{workflow} {n}", "a", n) for n in range(30)]
    assert len(shown.texts) == 60


def test_a_hook_that_the_program_sets_meanwhile_stays(
    memory: Path, observer: ExecutionObserver
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        before, later = Shown(), Shown()
        warnings.showwarning = before
        with observer.capture_warnings():
            warnings.showwarning = later
        assert warnings.showwarning is later
        warnings.warn("said", UserWarning, stacklevel=1)

    assert (before.texts, later.texts) == ([], ["said"])
    assert messages(memory) == []


def test_a_hook_that_was_kept_hands_on_when_it_is_over(
    memory: Path, observer: ExecutionObserver, shown: Shown
) -> None:
    """Leaving `catch_warnings` puts back the hook that it found, which may be over."""
    block = observer.capture_warnings()
    block.__enter__()
    with warnings.catch_warnings():
        block.__exit__(None, None, None)
    assert isinstance(hook(), CapturedWarnings)
    warnings.warn("said", UserWarning, stacklevel=1)
    with observer.capture_warnings():
        warnings.warn("recorded", UserWarning, stacklevel=1)

    assert hook() is shown
    assert [m["text"] for m in messages(memory)] == ["recorded"]
    assert shown.texts == ["said", "recorded"]


def test_a_block_opens_once(observer: ExecutionObserver, shown: Shown) -> None:
    block = observer.capture_warnings()
    with block, pytest.raises(RuntimeError, match="open already"):
        block.__enter__()
    assert warnings.showwarning is shown


def test_a_warning_without_a_text_does_not_fail_the_program(
    memory: Path,
    observer: ExecutionObserver,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Odd(UserWarning):
        def __str__(self) -> str:
            raise ValueError("no text")

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", lambda *_: None)
        with observer.capture_warnings():
            warnings.showwarning(Odd(), Odd, "a.py", 1)
            warnings.showwarning("to a file", UserWarning, "a.py", 1, file=sys.stdout)

    assert "not recorded: ValueError: no text" in capsys.readouterr().err
    assert messages(memory) == []


# --- The report


def test_a_report_has_the_messages_of_its_nodes(memory: Path, log: logging.Logger) -> None:
    with made(memory) as observer:
        log.info("about the run")
        with observer.node("load", 0):
            try:
                raise ValueError("x")
            except ValueError:
                log.exception("failed", extra={"rows": [1]})

    report = read_report(memory)
    assert report["errors"] == 1
    assert [m["text"] for m in report["messages"]] == ["about the run"]
    (said,) = report["nodes"][0]["messages"]
    assert (said["level"], said["text"], said["error_type"]) == ("error", "failed", "ValueError")
    assert (said["logger"], said["extra"]) == ("app.db", {"rows": [1]})
    assert "category" not in said
