"""Anchors as people keep, shorten and forge them: no note ends an audit, none is passed over."""

import shutil
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from replay.audit.anchors import MAX_ANCHOR, Anchor, signers_of
from replay.audit.audit import anchor
from replay.audit.checkpoint import Checkpoint, NoteError
from replay.audit.merkle import EMPTY
from replay.audit.notes import MAX_NOTE
from replay.audit.report import AuditReport
from replay.findings import Verdict
from replay.trace.line import GENESIS, seal
from tests.sealing.signed import Signer, codes, lines_of, write

REGISTRY = "audit/registry.jsonl"
TRACE = "audit/step_04/trace_04.jsonl"


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return Signer(tmp_path_factory.mktemp("operator"))


@pytest.fixture
def out(signer: Signer, tmp_path: Path) -> Path:
    """Return a folder with two runs."""
    write(tmp_path / "out", 30, signing_key=signer.file)
    write(tmp_path / "out", 30, signing_key=signer.file)
    return tmp_path / "out"


def of(out: Path) -> Checkpoint:
    _, made = anchor(str(out))
    assert made is not None
    return made


def expecting(signer: Signer, out: Path, text: str) -> AuditReport:
    return signer.audit(out, anchors=[Anchor.parse(text, path="kept")])


def test_an_anchor_names_files_as_events_do_wherever_their_folder_is(
    signer: Signer, out: Path, tmp_path: Path
) -> None:
    """That of an audit/ folder with another name was no anchor, or a missing file."""
    text = of(out).text()
    for name in ("saved", "my folder"):
        elsewhere = Path(shutil.copytree(out / "audit", tmp_path / name))

        assert of(elsewhere).text() == text
        assert expecting(signer, elsewhere, text).verdict is Verdict.COMPLETE


def test_an_anchor_without_the_reach_of_files_still_holds_the_registry(
    signer: Signer, out: Path
) -> None:
    """Its first three lines are a checkpoint by themselves; a registry cut behind it passed."""
    bare = "".join(line + "\n" for line in of(out).text().split("\n")[:3])
    report = expecting(signer, out, bare)
    assert (report.verdict, reach_of(report)[REGISTRY]) == (Verdict.COMPLETE, 4)

    (out / REGISTRY).write_bytes(b"".join(lines_of(out / REGISTRY)[:2]))

    report = expecting(signer, out, bare)
    assert "cut" in {found.code for found in report.findings if "as the anchor of" in found.message}


def reach_of(report: AuditReport) -> dict[str, int | None]:
    return {file.path: file.anchored for file in report.files}


def test_an_anchor_proves_no_line_of_what_it_contradicts(
    signer: Signer, out: Path, tmp_path: Path
) -> None:
    """Lines of another folder, and of a file that is cut, were said to be anchored."""
    text = of(out).text()
    lines = len(lines_of(out / TRACE))
    assert reach_of(expecting(signer, out, text)) == {REGISTRY: 4, TRACE: lines}
    write(tmp_path / "other", 90, signing_key=signer.file)

    report = expecting(signer, tmp_path / "other", text)
    assert report.verdict is Verdict.TAMPERED
    assert reach_of(report) == {REGISTRY: 0, TRACE: 0}

    (out / TRACE).write_bytes(b"".join(lines_of(out / TRACE)[:-1]))
    # Up to the `writer_opened` of the second run, which the registry names.
    assert reach_of(expecting(signer, out, text)) == {REGISTRY: 4, TRACE: lines // 2 + 1}


def test_lines_behind_damage_are_not_anchored_and_those_before_it_are(
    signer: Signer, out: Path
) -> None:
    text = of(out).text()
    lines = lines_of(out / TRACE)
    half = len(lines) // 2  # one run; the registry names its end
    changed = [*lines[: half + 5], lines[half + 5].replace(b"event", b"EVENT"), *lines[half + 6 :]]
    (out / TRACE).write_bytes(b"".join(changed))

    report = expecting(signer, out, text)

    assert codes(report) == {"bad_hash"}
    assert reach_of(report)[TRACE] == half + 1  # the registry names its `writer_opened` too


def test_a_file_that_is_given_alone_is_compared_by_its_name(
    signer: Signer, out: Path, tmp_path: Path
) -> None:
    """What an anchor says of it was passed over."""
    text = of(out).text()
    copy = Path(shutil.copy(out / TRACE, tmp_path))
    for path in (out / TRACE, copy):
        report = expecting(signer, path, text)
        assert (codes(report), list(reach_of(report).values())) == (
            {"alone"},
            [len(lines_of(out / TRACE))],
        )

    copy.write_bytes(b"".join(lines_of(copy)[:-1]))
    assert "cut" in codes(expecting(signer, copy, text))


def test_an_anchor_of_nothing_is_none(signer: Signer, out: Path) -> None:
    """It ended the audit by an IndexError."""
    nothing = f"auditfold/registry/x\n0\n{b64encode(EMPTY).decode()}\n"
    with pytest.raises(NoteError, match="want one of a registry"):
        expecting(signer, out, nothing)


def test_a_registry_of_a_newer_version_is_not_compared_with_an_anchor(
    signer: Signer, out: Path
) -> None:
    """It ended the audit by a KeyError."""
    text = of(out).text()
    *lines, last = lines_of(out / REGISTRY)
    newer = {**orjson.loads(last), "v": 2}
    (out / REGISTRY).write_bytes(b"".join(chained([*map(orjson.loads, lines), newer])))

    report = expecting(signer, out, text)

    assert report.exit_code() == 4
    assert codes(report) == {"newer_version"}


def chained(lines: list[dict[str, object]]) -> Iterator[bytes]:
    previous = GENESIS
    for fields in lines:
        del fields["hash"]
        line, previous = seal(previous, orjson.dumps(fields)[:-1])
        yield line


def test_an_anchor_of_ten_thousand_files_may_be_signed(signer: Signer, out: Path) -> None:
    """`checkpoint --key` wrote it, and `audit --expect` refused it as too long for a note."""
    made = of(out)
    reach = tuple(f"audit/step_04/trace_04.{n:05}.jsonl 1 {'0' * 64}" for n in range(10_000))
    text = Checkpoint(made.origin, made.size, made.root, reach).text()
    note = f"{text}\n{signer.key.sign(text)}"
    assert len(note) > MAX_NOTE

    assert len(Anchor.parse(note, path="kept").claims) == 10_000
    assert signers_of(note, [signer.key.verifier]) == [signer.key.verifier]
    with pytest.raises(NoteError, match="over"):
        Anchor.parse("x" * (MAX_ANCHOR + 1), path="kept")
