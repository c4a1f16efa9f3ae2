"""The vocabulary: every event type, its fields and their types, declared once.

JSON Schema, the table in docs/trace-format.md, strict validation and the names a writer may
use come from these Structs.  This module opens no file and knows no bytes: `replay.trace.line`
does.  Fields are added freely; a change of meaning is a new format version with an upcaster in
`replay.trace.schema`.
"""

from typing import Annotated, Any, Final, Literal

import msgspec

VERSION: Final = 1

ASIDE: Final = "review"  # `purpose` of a writer whose lines are no part of a run's course

_MOST: Final = (1 << 53) - 1  # I-JSON, RFC 7493 section 2.2
Int = Annotated[int, msgspec.Meta(ge=-_MOST, le=_MOST)]


class Event(msgspec.Struct, tag_field="event_type", kw_only=True, gc=False):
    """One fact: the envelope that every line carries.

    Attributes:
        v: Format version.
        seq: Place in its file, from 0, without a gap.
        timestamp: UTC, RFC 3339 with microseconds and `Z`.
        epoch_seconds: The same instant, seconds since 1970.
        mono_us: CLOCK_MONOTONIC in microseconds; compared within one writer only.
        pid: Process that emitted the event.
        writer: Id of the writer.
        run_id: The run, where there is one.
        workflow_id: What was running.
        step_number: The digits of `step_NN` in the workflow id, else `00`.
        node_id: The node that the event is about.
        node_index: The node's index as the program gave it; 0 is written.
        message: One line for people.
        hash: SHA-256 over the hash before it and this line's body, 64 hex digits.
    """

    v: Literal[1]
    seq: Int
    timestamp: str
    epoch_seconds: float
    mono_us: Int
    pid: Int
    writer: str
    run_id: str | None = None
    workflow_id: str
    step_number: str
    node_id: str | None = None
    node_index: Int | None = None
    message: str | None = None
    hash: str


# --- Values inside events


class Fragment(msgspec.Struct, gc=False):
    """Bytes that are no line: where they stand and what they are."""

    offset: Int
    length: Int
    sha256: str


class Extent(msgspec.Struct, kw_only=True, gc=False):
    """So many lines of a file, and the hash of the last of them.

    `lines` counts from the file's first line, whoever wrote it.  `writer` and `hash` are None
    behind a file that is no trace of this version; `fragment` is then the whole file.
    """

    path: str
    writer: str | None
    lines: Int
    hash: str | None
    fragment: Fragment | None = None


class Parent(msgspec.Struct, gc=False):
    """Where a fork left the writer that it comes from."""

    writer: str
    lines: Int
    hash: str


class RegistryEnd(msgspec.Struct, gc=False):
    """The registry as it stood when a writer opened its file."""

    lines: Int
    hash: str


class Signing(msgspec.Struct, gc=False):
    """What a writer begins to sign with.

    Attributes:
        key: Its first verifier key, `NAME+ID+BASE64` (C2SP signed-note).
        certificate: The operator's word for that key, a signed note.
        end_signed: The closing checkpoint is signed by the key named before it, too.
    """

    key: str
    certificate: str
    end_signed: bool = False


class Process(msgspec.Struct, kw_only=True, gc=False):
    """What tells a process from every other one; null where the system does not say.

    Attributes:
        host: Name of the machine.
        boot_id: Identity of the boot, so that a restart ends every process before it.
        pid: Process id.
        start_time: Start of the process in the system's own unit (Linux: clock ticks since boot).
        pid_ns: Namespace that the pid counts in (Linux).
    """

    host: str
    boot_id: str | None = None
    pid: Int
    start_time: str | None = None
    pid_ns: str | None = None


class ResourceUsage(msgspec.Struct, kw_only=True, gc=False):
    """What a node used while it ran; null is unknown, 0 is known to be nothing.

    Attributes:
        scope: Whose: `process` (the process that ended the node, all of its threads), `children`
            (programs that it started and waited for) or `tree` (both).
        cpu_user_seconds: CPU time outside the kernel, from the node's start to its end.
        cpu_system_seconds: CPU time inside the kernel, likewise.
        max_rss_bytes: The most memory that was resident at once, since the process began.
        max_rss_growth_bytes: By how much the node raised that; 0: another one had needed more.
        read_bytes: What storage had to give from the node's start to its end; what the page
            cache gives is not in it.
        write_bytes: What storage got, or will get, likewise.
        read_call_bytes: What all calls that read have returned, from caches and pipes too.
        write_call_bytes: What all calls that write were given.
        tree_rss_bytes: Resident memory of the process and its children at the node's end.
        cgroup_peak_bytes: The most memory that the control group has used at once.
    """

    scope: str
    cpu_user_seconds: float | None = None
    cpu_system_seconds: float | None = None
    max_rss_bytes: Int | None = None
    max_rss_growth_bytes: Int | None = None
    read_bytes: Int | None = None
    write_bytes: Int | None = None
    read_call_bytes: Int | None = None
    write_call_bytes: Int | None = None
    tree_rss_bytes: Int | None = None
    cgroup_peak_bytes: Int | None = None


class GitState(msgspec.Struct, kw_only=True, gc=False):
    """The work tree that the program ran in, as `git` said; null is unknown.

    Attributes:
        commit: Digits of the commit that was checked out.
        branch: Its branch; null where none is checked out.
        dirty: Tracked files differ from the commit.
    """

    commit: str | None = None
    branch: str | None = None
    dirty: bool | None = None


class Distributions(msgspec.Struct, kw_only=True, gc=False):
    """The Python distributions that the process could import.

    Attributes:
        count: How many.
        digest: Of the RFC 8785 form of all entries.
        entries: `[name, version]`, sorted; null beyond 64 KiB of JSON.
    """

    count: Int
    digest: str
    entries: list[tuple[str, str | None]] | None = None


class Environment(msgspec.Struct, kw_only=True, gc=False):
    """What a run met where it began; null is unknown.

    Attributes:
        argv: The command line as Python has it (`sys.orig_argv`), secrets redacted.
        cwd: The working directory; relative to the folder that OUT is in where one is inside
            the other.
        python_version: `3.12.4`.
        python_implementation: `CPython`.
        python_executable: Name of the interpreter's file.
        platform: System, release and machine.
        host: Name of the machine.
        user: Who the process ran as.
        git: The work tree; null where there is none, or git did not answer in time.
        distributions: What was installed.
        variables: Selected environment variables that were set.
    """

    argv: list[str] | None = None
    cwd: str | None = None
    python_version: str | None = None
    python_implementation: str | None = None
    python_executable: str | None = None
    platform: str | None = None
    host: str | None = None
    user: str | None = None
    git: GitState | None = None
    distributions: Distributions | None = None
    variables: dict[str, str] | None = None


# --- Integrity of the log


class WriterOpened(Event, tag="writer_opened", kw_only=True):
    """A writer begins.  In the registry: which file it writes (`trace`).

    `purpose` is `review` where a person says something about a run: no line of such a writer
    is part of the run's course, so none makes the run newer, longer or alive.
    """

    process: Process | None = None
    durability: str | None = None
    versions: dict[str, str] | None = None
    follows: Extent | None = None
    parent: Parent | None = None
    registry: RegistryEnd | None = None
    trace: Extent | None = None
    signing: Signing | None = None
    purpose: str | None = None


class WriterClosed(Event, tag="writer_closed", kw_only=True):
    """A writer ends, in good order.  In the registry: how far its file reaches (`trace`).

    `purpose` is that of its `writer_opened`.
    """

    trace: Extent | None = None
    purpose: str | None = None


class WriterSettled(Event, tag="writer_settled", kw_only=True):
    """A closing writer proves the end of a fork that ended without `writer_closed`."""

    settled: Extent


class KeyRotated(Event, tag="key_rotated", kw_only=True):
    """The key that signs behind the next checkpoint of this writer, `NAME+ID+BASE64`."""

    key: str


class CheckpointSigned(Event, tag="checkpoint", kw_only=True):
    """How many lines this writer has written and what their Merkle root is, as a signed note."""

    note: str


class Gap(Event, tag="gap", kw_only=True):
    """Something is not in the record: dropped events, or a fragment in the registry."""

    dropped: Int | None = None
    reason: str | None = None
    fragment: Fragment | None = None


class ArtifactWritten(Event, tag="artifact_written", kw_only=True):
    """A file or directory that the run made; `role` is `output` for what an audit checks.

    `entries` lists a directory as `[path, size, digest]` up to 64 KiB of JSON.
    """

    role: str
    path: str
    size: Int | None = None
    digest: str | None = None
    kind: str = "file"
    entries: list[tuple[str, Int, str]] | None = None


class ArtifactRead(Event, tag="artifact_read", kw_only=True):
    """A file or directory that a node was to read, as it was before; `role` is `input`.

    `entries` lists a directory as `[path, size, digest]` up to 64 KiB of JSON.
    """

    role: str
    path: str
    size: Int | None = None
    digest: str | None = None
    kind: str = "file"
    entries: list[tuple[str, Int, str]] | None = None


class Captured(Event, tag="captured", kw_only=True):
    """What a program, or a unit's block, printed, cleaned of escapes and redacted.

    `stream` is `stdout`, `stderr`, or `terminal` for both at once; with `lines`, one a warning that
    was given in a unit's block, it is `warnings`.  `text` has at most 64 KiB of
    it, its beginning and its end if it is `truncated`; all of it stands in the file `path`, which
    is no output: `digest` says what was written there.  `text` and `path` are null for binary
    output, of which `size` and `digest` are those of its bytes.
    """

    stream: str
    text: str | None = None
    size: Int | None = None
    truncated: bool = False
    path: str | None = None
    digest: str | None = None
    binary: bool = False
    unit: str | None = None
    lines: list[str] | None = None


# --- The run and its nodes

Seconds = float | str  # a text where the caller's number has no JSON form: "NaN", "Infinity"


class WorkflowStarted(Event, tag="workflow_start", kw_only=True):
    """A run begins, or another process joins it.

    `output_dir` is OUT as an absolute path, there and then.  With a `node_id` it is the start of
    a process that runs this node alone.
    """

    total_nodes: Int | None = None
    output_dir: str | None = None
    environment: Environment | None = None


class WorkflowCompleted(Event, tag="workflow_complete", kw_only=True):
    """A run ends.  The counts are those of its own process; a fold recomputes them.

    `node_times` is null when it would not fit the line.
    """

    nodes_completed: Int
    nodes_failed: Int
    nodes_skipped: Int = 0
    total_time_seconds: float
    cumulative_cost_usd: float | str = 0.0
    coerced: list[str] | None = None
    trace_file: str | None = None
    log_file: str | None = None
    node_times: dict[str, Seconds] | None = None


class WorkflowFailed(Event, tag="workflow_error", kw_only=True):
    """A run ends by an error."""

    error: str
    error_type: str | None = None
    traceback: str | None = None
    total_time_seconds: float
    nodes_completed: Int
    nodes_failed: Int
    nodes_skipped: Int = 0


class NodeStarted(Event, tag="node_start", kw_only=True):
    """A node's first attempt begins, or its next one when it has ended before.

    `command` is what is run, secrets redacted; `variables` are those of its environment that were
    to be recorded, null where one is not set.  Of a node that is a step of a batch, `unit` is the
    step, `parent` the batch, and `id` the step's id there.
    """

    command: list[str] | None = None
    variables: dict[str, str | None] | None = None
    unit: str | None = None
    parent: str | None = None
    id: str | None = None


class NodeSucceeded(Event, tag="node_success", kw_only=True):
    """The current attempt of a node ends well, and its step `unit` if it is one.

    Of a command, `exit_status` is what it returned, or `signal` the name of what killed it.
    """

    duration_seconds: Seconds
    output_hash: str | None = None
    output_summary: msgspec.Raw = msgspec.Raw(b"null")
    coerced: list[str] | None = None
    resource: ResourceUsage | None = None
    exit_status: Int | None = None
    signal: str | None = None
    unit: str | None = None


class NodeFailed(Event, tag="node_failure", kw_only=True):
    """The current attempt of a node ends by an error, and its step `unit` if it is one."""

    duration_seconds: Seconds
    error: str
    error_type: str | None = None
    traceback: str | None = None
    coerced: list[str] | None = None
    resource: ResourceUsage | None = None
    exit_status: Int | None = None
    signal: str | None = None
    unit: str | None = None


class NodeSkipped(Event, tag="node_skipped", kw_only=True):
    """A node is not run, and why; `unit`, `parent` and `id` are those of its step."""

    reason: str | None = None
    unit: str | None = None
    parent: str | None = None
    id: str | None = None


class NodeRetried(Event, tag="node_retry", kw_only=True):
    """An attempt failed and another one is to come."""

    attempt: Int
    max_attempts: Int | None = None
    delay_seconds: float | None = None
    error: str | None = None


class NodeResult(Event, tag="node_result", kw_only=True):
    """A value that a node returned, with its digest; left out above 64 KiB of JSON."""

    digest: str
    size: Int
    value: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Message(Event, tag="message", kw_only=True):
    """Something said about a unit, a node or the run; `level` is `note`, `warning` or `error`.

    By the program's logging: `logger`, `level_name`, `occurred_at` (UTC, as the envelope's
    `timestamp`) and, in `extra`, what was said beside the text; `omitted` names what of it has
    no JSON form.  By an exception: `error`, `error_type` and `traceback`.  By Python's
    warnings: `category` and `place` (`file:line`).  By a person, after the fact: `author`.
    """

    level: str
    text: str
    logger: str | None = None
    level_name: str | None = None
    occurred_at: str | None = None
    error: str | None = None
    error_type: str | None = None
    traceback: str | None = None
    category: str | None = None
    place: str | None = None
    extra: msgspec.Raw = msgspec.Raw(b"null")
    coerced: list[str] | None = None
    omitted: list[str] | None = None
    unit: str | None = None
    author: str | None = None


# --- Units: reports, files and steps


class UnitBegun(Event, tag="unit_begin", kw_only=True):
    """A report, file, step or unit of another `kind` begins, in `parent` where it has one.

    Sizes, MIME types and ids are those of this moment.  `state` is what a unit held that began
    before it was recorded; it then stands for all other fields.
    """

    unit: str
    kind: str
    parent: str | None = None
    status: str = "running"
    label: str | None = None
    id: str | None = None
    metadata: dict[str, Any] | None = None
    path: str | None = None
    name: str | None = None
    file_id: str | None = None
    size_bytes: Int | None = None
    mime_type: str | None = None
    n_steps: Int | None = None
    report_kind: str | None = None
    batch_id: Int | str | None = None
    output_path: str | None = None
    fields: dict[str, Any] | None = None
    state: dict[str, Any] | None = None


class UnitStatusSet(Event, tag="unit_status", kw_only=True):
    """A unit starts or ends; `inside` says that it is a step of a file.

    `cause` is `explicit`, `inferred` from its checks, steps and errors, or `exception`.
    """

    unit: str
    status: str
    cause: str = "explicit"
    inside: bool = False


class UnitAttached(Event, tag="unit_attached", kw_only=True):
    """A unit that began alone becomes one of `parent`, under its final id."""

    unit: str
    parent: str
    id: str | None = None
    inside: bool = False


class ProgressSet(Event, tag="progress", kw_only=True):
    """What the banner of a report says."""

    unit: str
    stage: str
    percent: Int
    text: str = ""


class CheckMade(Event, tag="check", kw_only=True):
    """A step was checked; without a `unit`, a node."""

    unit: str | None = None
    name: str
    ok: bool
    detail: str | None = None


class MetadataChanged(Event, tag="metadata", kw_only=True):
    """Keys of a unit's metadata go, then keys are set."""

    unit: str
    deleted: list[str] | None = None
    patch: dict[str, Any] | None = None


class UnitEdited(Event, tag="edited", kw_only=True):
    """A field of a unit gets another value; a list is given whole."""

    unit: str
    field: str
    value: Any


class ReviewRequested(Event, tag="review_requested", kw_only=True):
    """Somebody should look at a unit, or without one at a node, and why."""

    unit: str | None = None
    reason: str | None = None


class ReviewCleared(Event, tag="review_cleared", kw_only=True):
    """Nobody needs to look at a unit, or without one at a node, any more."""

    unit: str | None = None


class ReviewResolved(Event, tag="review_resolved", kw_only=True):
    """A person has decided about a unit, or without one about a node, and why.

    `decision` is `approved`, `rejected` or `reopened`.  `digest` is that of what was looked at:
    of the RFC 8785 form of its JSON without what decisions and notes change.
    """

    unit: str | None = None
    decision: str
    reviewer: str
    note: str | None = None
    digest: str


class ExceptionRaised(Event, tag="exception", kw_only=True):
    """An exception came out of a unit's block; `reraised` says that it went on from there.

    `chain` lists the exceptions behind it, as `Type: text`.
    """

    unit: str
    error: str
    error_type: str
    error_module: str | None = None
    traceback: str | None = None
    chain: list[str] | None = None
    suppressed: bool = False
    reraised: bool = False


class UnknownEvent(Event, tag="unknown", kw_only=True):
    """An event of a type that this version does not know; kept, and ignored by folds."""

    name: str = ""
    fields: dict[str, Any] = {}


AnyEvent = (
    WriterOpened
    | WriterClosed
    | WriterSettled
    | KeyRotated
    | CheckpointSigned
    | Gap
    | ArtifactWritten
    | ArtifactRead
    | Captured
    | WorkflowStarted
    | WorkflowCompleted
    | WorkflowFailed
    | NodeStarted
    | NodeSucceeded
    | NodeFailed
    | NodeSkipped
    | NodeRetried
    | NodeResult
    | Message
    | UnitBegun
    | UnitStatusSet
    | UnitAttached
    | ProgressSet
    | CheckMade
    | MetadataChanged
    | UnitEdited
    | ReviewRequested
    | ReviewCleared
    | ReviewResolved
    | ExceptionRaised
)

EVENT_TYPES: Final[dict[str, type[Event]]] = {
    str(cls.__struct_config__.tag): cls for cls in AnyEvent.__args__
}

ENVELOPE: Final = frozenset({"event_type", *Event.__struct_fields__})
