"""Lines that nobody with a key has sealed, and files that are genuine and in the wrong place.

The forger has no key and knows all that stands in the folder, certificates too: they are public.
"""

import errno
import gzip
import os
import shutil
from pathlib import Path

import orjson
import pytest

from replay.audit.audit import audit
from replay.audit.checkpoint import Checkpoint
from replay.findings import Verdict
from replay.show.audited import audit_lines
from replay.trace.line import GENESIS, SUFFIX_LENGTH, seal, stored_hash
from tests.sealing.signed import (
    Signer,
    codes,
    edited,
    forge,
    judged_alone,
    lines_of,
    place_of,
    rechained,
    write,
)

TRACE = "audit/step_04/trace_04.jsonl"
NOBODY = "20300101t000000-aaaaaaaaaa"
GONE = {"host": "gone", "boot_id": "gone", "pid": 1, "start_time": "1", "pid_ns": "pid:[1]"}


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    (tmp_path / "keys").mkdir()
    return Signer(tmp_path / "keys", certified=8)


def begin_as_nobody(out: Path, **opened: object) -> str:
    """Begin a writer under the certificate of another one, and return its file's name."""
    name = f"audit/step_04/trace_04.{NOBODY}.jsonl"
    lines = lines_of(out / TRACE)
    said = lines[place_of(lines, "message")]
    own = {"writer": NOBODY, "epoch_seconds": 1.5}
    first = edited(lines[0], process=GONE, **own, **opened)
    forged = rechained([first, *[edited(said, text="forged", **own)] * 20])
    (out / name).write_bytes(b"".join(forged))
    digits = stored_hash(forged[0]) or b""
    extent = {"path": name, "writer": NOBODY, "lines": 1, "hash": digits.decode()}
    registry = lines_of(out / "audit/registry.jsonl")
    line = edited(registry[0], writer=NOBODY, trace=extent, follows=None)
    (out / "audit/registry.jsonl").write_bytes(b"".join(rechained([*registry, line])))
    return name


def test_a_path_without_a_hash_proves_no_end(signer: Signer, tmp_path: Path) -> None:
    """A forged writer that named its own file, and no line of it, was complete with --vkey."""
    out = tmp_path / "out"
    write(out, 30, signing_key=signer.file)
    itself = f"audit/step_04/trace_04.{NOBODY}.jsonl"
    for extent in (
        {"path": itself, "writer": None, "lines": 0, "hash": None},
        {"path": itself, "writer": NOBODY, "lines": 21, "hash": None},
        {"path": itself, "writer": NOBODY, "lines": 0, "hash": "0" * 64},
    ):
        forged = Path(shutil.copytree(out, tmp_path / "forged"))

        begin_as_nobody(forged, follows=extent)

        report = signer.audit(forged)
        assert "not_closed" in codes(report)
        assert report.exit_code() == 3
        shutil.rmtree(forged)


@pytest.mark.parametrize("key", ["a+00000000+\u00e9", "a+00000000+", "+00000000+AA==", "\u00e9", 7])
def test_a_key_that_is_none_breaks_the_seal_and_not_the_audit(
    key: object, signer: Signer, tmp_path: Path
) -> None:
    """Base64 that was not ASCII ended the audit by a ValueError."""
    out = tmp_path / "out"
    write(out, 300, signing_key=signer.file)
    rotated = Path(shutil.copytree(out, tmp_path / "rotated"))
    certified = Path(shutil.copytree(out, tmp_path / "certified"))

    forge(
        out, lambda lines: [edited(lines[0], signing={"key": key, "certificate": ""}), *lines[1:]]
    )
    forge(rotated, lambda lines: [_with_key(line, key) for line in lines])
    text = f"auditfold/certificate\n{key}\n\n\u2014 a AAAAAAA=\n"
    first = {"key": orjson.loads(lines_of(certified / TRACE)[0])["signing"]["key"]}
    forge(
        certified,
        lambda lines: [edited(lines[0], signing={**first, "certificate": text}), *lines[1:]],
    )

    for folder in (out, rotated, certified):
        report = signer.audit(folder)
        assert report.verdict is Verdict.TAMPERED
        assert "unsealed" in codes(report)


def _with_key(line: bytes, key: object) -> bytes:
    return edited(line, key=key) if orjson.loads(line)["event_type"] == "key_rotated" else line


@pytest.mark.parametrize(
    "name", ["step_04/trace_04.copy.jsonl", "step_05/trace_05.jsonl", "step_04/trace_4.jsonl.gz"]
)
@pytest.mark.parametrize("signs", [True, False])
def test_a_file_that_stands_there_twice_is_no_second_run(
    name: str, signs: bool, signer: Signer, tmp_path: Path
) -> None:
    """Copied beside itself, a genuine trace made two runs of one, and both were complete."""
    out = tmp_path / "out"
    write(out, 30, signing_key=signer.file if signs else None)
    whole = (out / TRACE).read_bytes()
    (out / "audit" / name).parent.mkdir(exist_ok=True)
    (out / "audit" / name).write_bytes(gzip.compress(whole) if name.endswith("gz") else whole)

    report = signer.audit(out) if signs else audit(str(out))

    assert report.verdict is Verdict.TAMPERED
    assert codes(report) == {"bad_session"}
    assert "stands in audit/step_04/trace_04" in report.findings[0].message


def test_a_writer_that_begins_again_in_its_own_file_is_found(
    signer: Signer, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    write(out, 3, signing_key=None)

    forge(out, lambda lines: lines * 2)

    report = audit(str(out))
    assert (report.verdict, codes(report)) == (Verdict.TAMPERED, {"bad_session"})
    assert [finding.line for finding in report.findings] == [6]
    del signer


def test_a_certificate_is_for_one_writer(signer: Signer, tmp_path: Path) -> None:
    """A key that was copied out of the file before it was taken signs for two writers."""
    stolen = Path(shutil.copy(signer.file, tmp_path / "stolen.keys"))
    out = tmp_path / "out"
    write(out, 3, signing_key=signer.file)
    write(out, 3, signing_key=stolen)

    report = signer.audit(out)

    assert (report.verdict, codes(report)) == (Verdict.TAMPERED, {"unsealed"})
    assert report.findings[0].message.endswith(f"{TRACE}:1 (byte 0) has it too")


def test_a_registry_that_names_nothing_is_no_record_of_nothing(
    signer: Signer, tmp_path: Path
) -> None:
    """With all traces gone, one line of the registry without a name was complete."""
    out = tmp_path / "out"
    write(out, 3, signing_key=signer.file)
    registry = out / "audit/registry.jsonl"
    line = edited(lines_of(registry)[0], event_type="note", trace=None)
    registry.write_bytes(b"".join(rechained([line])))
    shutil.rmtree(out / "audit/step_04")

    report = signer.audit(out)

    assert (report.verdict, codes(report)) == (Verdict.TAMPERED, {"missing"})


def test_lines_under_a_copied_certificate_are_not_sealed_and_that_is_said(
    signer: Signer, tmp_path: Path
) -> None:
    """Certificates are public: until its first checkpoint anybody can be a writer."""
    out = tmp_path / "out"
    write(out, 30, signing_key=signer.file)
    begin_as_nobody(out)
    (out / TRACE).unlink()
    (out / "audit/step_04/trace_04.head").unlink()

    report = signer.audit(out)

    [found] = [finding for finding in report.findings if finding.code == "not_closed"]
    assert "its last 21 lines are not sealed" in found.message


def test_a_head_that_cannot_be_read_is_no_head_that_is_wrong(
    signer: Signer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An auditor who may not read it was told that the folder was tampered with."""
    out = tmp_path / "out"
    write(out, 3, signing_key=signer.file)
    real = os.open

    def refusing(path: str, *how: int) -> int:
        if str(path).endswith(".head"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return real(path, *how)

    monkeypatch.setattr(os, "open", refusing)
    with pytest.raises(PermissionError, match=r"trace_04.head"):
        signer.audit(out)


def test_a_name_with_an_escape_is_the_name(signer: Signer, tmp_path: Path) -> None:
    """A checkpoint whose type is written with an escape was an event like others to the audit."""
    out = tmp_path / "out"
    write(out, 30, signing_key=signer.file)
    at = place_of(lines_of(out / TRACE), "message", 9)
    (out / "audit/step_04/trace_04.head").unlink()
    *before, last = lines_of(out / TRACE)[: at + 1]
    *before, last = rechained([*before, edited(last, event_type="checkpoint", note="none")])
    escaped = last[:-SUFFIX_LENGTH].replace(b'"checkpoint"', b'"ch\\u0065ckpoint"')
    whole, _ = seal(stored_hash(before[-1]) or b"", escaped)
    (out / TRACE).write_bytes(b"".join([*before, whole]))

    [found] = [finding for finding in signer.audit(out).findings if finding.code == "unsealed"]
    assert found.line == at + 1
    assert "no signature behind an empty line" in found.message


@pytest.mark.parametrize(
    "change",
    ["none", "unsigned, packed", "not signing, not null", "gone", "doubled", "key of another"],
)
def test_a_stand_alone_verifier_agrees_on_what_stands_where(
    change: str, signer: Signer, tmp_path: Path
) -> None:
    """It looked at no packed trace, and at none that is gone; false was no declaration to it."""
    out = tmp_path / "out"
    trace = out / TRACE
    stolen = Path(shutil.copy(signer.file, tmp_path / "stolen.keys"))
    write(out, 30, signing_key=None if change.startswith("unsigned") else signer.file)
    if change == "unsigned, packed":
        trace.with_suffix(".jsonl.gz").write_bytes(gzip.compress(trace.read_bytes()))
        trace.unlink()
    elif change == "not signing, not null":
        forge(out, lambda lines: [edited(lines[0], signing=False), *lines[1:]])
    elif change == "gone":
        trace.unlink()
    elif change == "doubled":
        shutil.copy(trace, trace.with_name("trace_05.jsonl"))
    elif change == "key of another":
        write(out, 30, signing_key=stolen)

    judged = judged_alone(out, signer.vkey)

    assert judged == (0 if change == "none" else 3)
    assert judged == signer.audit(out).exit_code()


def test_lines_that_a_later_writer_names_are_said_to_be_not_sealed(
    signer: Signer, tmp_path: Path
) -> None:
    """Put behind a checkpoint between two runs, they end up in a chain that the next one seals."""
    out = tmp_path / "out"
    write(out, 300, signing_key=signer.file)
    at = place_of(lines_of(out / TRACE), "checkpoint") + 1
    forge(out, lambda lines: [*lines[:at], edited(lines[5], text="forged")])
    (out / "audit/step_04/trace_04.head").unlink()
    write(out, 3, signing_key=signer.file)

    report = signer.audit(out)

    assert report.verdict is Verdict.COMPLETE  # each line is as the second run found it
    assert [signed.unsealed for signed in report.signatures] == [2, 0]
    text = "".join(piece.text for line in audit_lines(report, "out") for piece in line)
    assert "who wrote the last 2 lines of 1 writer not closed" in text


@pytest.mark.parametrize(
    ("place", "changes"),
    [
        (-1, {"run_id": "20200101-000000-forged"}),
        (-1, {"workflow_id": "another"}),
        (-2, {"run_id": "20200101-000000-forged", "step_number": "99"}),
        (-2, {"run_id": None}),
    ],
)
def test_the_lines_that_nothing_covers_make_no_run(
    signer: Signer, tmp_path: Path, place: int, changes: dict[str, str]
) -> None:
    """A `writer_closed` with another run_id stood in `ls` as the newest run, interrupted."""
    out = tmp_path / "out"
    write(out, 3, signing_key=signer.file)

    forge(out, lambda lines: replaced(lines, place, edited(lines[place], **changes)))

    report = signer.audit(out)
    assert codes(report) == {"unsealed"}
    assert "its closing lines are of another run" in report.findings[0].message
    assert judged_alone(out, signer.vkey) == 3


def replaced(lines: list[bytes], place: int, line: bytes) -> list[bytes]:
    lines = list(lines)
    lines[place] = line
    return lines


def test_keys_in_a_trace_have_one_form(signer: Signer, tmp_path: Path) -> None:
    """What one reader takes for a key and the other does not is no key."""
    out = tmp_path / "out"
    write(out, 3, signing_key=signer.file)
    opened = orjson.loads(lines_of(out / TRACE)[0])["signing"]
    name, id_, data = opened["key"].split("+", 2)
    spelled = f"{name}+{id_.upper()}+{data}"
    for key in (f" {opened['key']}", spelled):
        if key == opened["key"]:
            continue
        other = tmp_path / "other"
        shutil.copytree(out, other)
        changed = {**opened, "key": key}
        forge(other, lambda lines, c=changed: [edited(lines[0], signing=c)])  # type: ignore[misc]
        (other / "audit/step_04/trace_04.head").unlink()

        assert "unsealed" in codes(signer.audit(other))
        assert judged_alone(other, signer.vkey) == 3
        shutil.rmtree(other)


def test_a_head_of_a_writer_that_does_not_sign_is_none(signer: Signer, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, 3, signing_key=None)
    writer = orjson.loads(lines_of(out / TRACE)[0])["writer"]
    text = Checkpoint(f"auditfold/{writer}", 2, bytes(32)).text()
    (out / "audit/step_04/trace_04.head").write_text(f"{text}\n{signer.key.sign(text)}")

    assert codes(audit(str(out))) == {"diverged"}
    assert judged_alone(out) == 3


@pytest.mark.parametrize("behind", ["=", "\r", "\u2014 x AAAA\n", "\u2014 a\u00a0b AAAAAAAA\n"])
def test_what_is_no_note_is_none_to_the_verifier_that_stands_alone(
    signer: Signer, tmp_path: Path, behind: str
) -> None:
    out = tmp_path / "out"
    write(out, 3, signing_key=signer.file)
    head = out / "audit/step_04/trace_04.head"
    note = head.read_text()
    head.write_bytes((note[:-1] + behind + "\n" if len(behind) == 1 else note + behind).encode())

    assert codes(audit(str(out))) == {"unsealed"}
    assert judged_alone(out) == 3


def test_a_wrong_signature_by_the_operator_is_found_by_both(signer: Signer, tmp_path: Path) -> None:
    """The verifier that stands alone looked at that of the current key only."""
    out = tmp_path / "out"
    write(out, 3, signing_key=signer.operator)

    def change(lines: list[bytes]) -> list[bytes]:
        fields = orjson.loads(lines[-2])
        text = fields["note"].rpartition("\n\n")[0] + "\n"
        right = signer.key.sign(text)
        note = fields["note"].replace(right, signer.key.sign("something else\n"))
        assert note != fields["note"]
        return replaced(lines, -2, edited(lines[-2], note=note))

    forge(out, change)
    assert "unsealed" in codes(signer.audit(out))
    assert judged_alone(out, signer.vkey) == 3
    assert audit(str(out)).verdict is Verdict.COMPLETE  # nobody asked about that key
    assert judged_alone(out) == 0


@pytest.mark.parametrize("name", ["audit", "saved"])
def test_the_beginning_of_a_trace_is_missed_whatever_its_folder_is_called(
    tmp_path: Path, name: str
) -> None:
    """In an audit/ folder of another name it was an excerpt, and the exit 0."""
    write(tmp_path / "out", 5, signing_key=None)
    folder = tmp_path / "elsewhere" / name
    shutil.copytree(tmp_path / "out/audit", folder)
    trace = folder / "step_04/trace_04.jsonl"

    trace.write_bytes(b"".join(lines_of(trace)[3:]))

    report = audit(str(folder))
    assert (report.verdict, report.exit_code()) == (Verdict.TAMPERED, 3)


@pytest.mark.parametrize("text", [b'"checkpoint",,', b'"key_rotated"}{', b'"checkpoint\xff"'])
def test_lines_that_are_no_json_end_no_look_at_seals(
    signer: Signer, tmp_path: Path, text: bytes
) -> None:
    """With --chain, which does not look at what lines say, they were a traceback."""
    write(tmp_path / "out", 5, signing_key=signer.file)
    trace = tmp_path / "out" / TRACE
    previous, made = GENESIS, b""
    for line in lines_of(trace):
        body = line[:-SUFFIX_LENGTH].replace(b'"note"', text, 1)
        whole, previous = seal(previous, body)
        made += whole
    trace.write_bytes(made)

    for chain_only in (True, False):
        report = signer.audit(tmp_path / "out", chain_only=chain_only)
        assert report.verdict is Verdict.TAMPERED
