"""Who edits later without the key, who steals a key, who puts an older state back.

The forger may write every file, makes chains and the registry anew, and knows the format.  The
audit is that of somebody who has the operator's verifier key, as docs/signing.md says.
"""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from observability.journal import Journal
from observability.signing.keys import SigningKey, certify
from replay.audit.anchors import Anchor
from replay.audit.audit import anchor, audit
from replay.audit.checkpoint import Checkpoint, split_note
from replay.audit.merkle import Tree
from replay.findings import Verdict
from replay.trace.line import GENESIS, seal
from tests.reliability.tier import either
from tests.sealing.signed import (
    WORKFLOW,
    Signer,
    codes,
    copy,
    edited,
    forge,
    judged_alone,
    lines_of,
    place_of,
    write,
)

Lines = list[bytes]
TRACE = "audit/step_04/trace_04.jsonl"


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return Signer(tmp_path_factory.mktemp("operator"))


@pytest.fixture(scope="module")
def genuine(signer: Signer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two runs in one file, of 600 and 30 events."""
    out = tmp_path_factory.mktemp("genuine") / "out"
    write(out, 600, signing_key=signer.file)
    write(out, 30, signing_key=signer.file)
    assert signer.audit(out).verdict is Verdict.COMPLETE
    return out


def edit(lines: Lines) -> Lines:
    return [*lines[:100], edited(lines[100], text="forged"), *lines[101:]]


def delete(lines: Lines) -> Lines:
    return [*lines[:100], *lines[101:]]


def insert(lines: Lines) -> Lines:
    return [*lines[:100], edited(lines[100], text="forged"), *lines[100:]]


def double(lines: Lines) -> Lines:
    return [*lines[:100], lines[100], *lines[100:]]


def swap(lines: Lines) -> Lines:
    return [*lines[:100], lines[101], lines[100], *lines[102:]]


def move(lines: Lines) -> Lines:
    return [*lines[:100], *lines[101:200], lines[100], *lines[200:]]


def strip_checkpoint(lines: Lines) -> Lines:
    return without(lines, place_of(lines, "checkpoint", 1))


def strip_rotation(lines: Lines) -> Lines:
    return without(lines, place_of(lines, "key_rotated", 1))


def strip_both(lines: Lines) -> Lines:
    at = place_of(lines, "checkpoint", 1)
    return [*lines[: at - 1], *lines[at + 1 :]]


def strip_last_checkpoint(lines: Lines) -> Lines:
    return without(lines, place_of(lines, "writer_closed") - 1)


def strip_signing(lines: Lines) -> Lines:
    seals = {"key_rotated", "checkpoint"}
    return [
        edited(line, signing=None)
        for line in lines
        if orjson.loads(line)["event_type"] not in seals
    ]


def strip_declaration(lines: Lines) -> Lines:
    return [edited(lines[0], signing=None), *lines[1:]]


def break_declaration(lines: Lines) -> Lines:
    return [edited(lines[0], signing={"key": 7}), *lines[1:]]


def add_before_closing(lines: Lines) -> Lines:
    at = place_of(lines, "writer_closed")
    return [*lines[:at], edited(lines[100], text="forged"), *lines[at:]]


def other_note(lines: Lines) -> Lines:
    """Put an earlier checkpoint's note in the place of a later one's."""
    first, second = place_of(lines, "checkpoint"), place_of(lines, "checkpoint", 1)
    note = orjson.loads(lines[first])["note"]
    return [*lines[:second], edited(lines[second], note=note), *lines[second + 1 :]]


def own_key(lines: Lines) -> Lines:
    """Sign all of it by keys of the forger's own, under the genuine certificate."""
    return resigned(edit(lines), [SigningKey.new("x")], declare=True)


def own_operator(lines: Lines) -> Lines:
    """Sign all of it by keys of the forger's own, certified by an operator of that name."""
    first = SigningKey.new("x")
    writer = orjson.loads(lines[0])["writer"]
    certificate = certify(first, SigningKey.new("ops.example"), writer=writer)
    return resigned(edit(lines), [first], declare=True, certificate=certificate)


def without(lines: Lines, at: int) -> Lines:
    return [*lines[:at], *lines[at + 1 :]]


def resigned(
    lines: Lines, keys: list[SigningKey], *, declare: bool = False, certificate: str = ""
) -> Lines:
    """Return *lines* chained anew, and signed anew where a key in *keys* is the current one.

    Args:
        lines: Of a file.
        keys: What the forger has; where one of them is current, the next is the forger's too.
        declare: The first of them is put in the first writer's declaration.
        certificate: And this is put there.
    """
    mine = {str(key.verifier): key for key in keys}
    made: Lines = []
    previous, tree, current, following = GENESIS, Tree(), "", ""
    for line in lines:
        fields = orjson.loads(line)
        fields["seq"] = len(made)
        fields.pop("hash", None)
        kind = fields["event_type"]
        if kind == "writer_opened":
            tree = Tree()
            if declare and not made:
                fields["signing"]["key"] = str(keys[0].verifier)
                fields["signing"]["certificate"] = certificate or fields["signing"]["certificate"]
            current = fields["signing"]["key"]
        if kind == "key_rotated":
            if current in mine:
                fresh = SigningKey.new("x")
                mine[str(fresh.verifier)] = fresh
                fields["key"] = str(fresh.verifier)
            following = fields["key"]
        if kind == "checkpoint":
            if current in mine:
                text = Checkpoint(f"auditfold/{fields['writer']}", tree.size, tree.root()).text()
                signed = mine[current].sign(text) + mine[following].sign(text)
                fields["note"] = f"{text}\n{signed}"
            current = following
        whole, previous = seal(previous, orjson.dumps(fields)[:-1])
        tree.extend(bytes.fromhex(previous.decode()))
        made.append(whole)
    return made


BY_ONE_WITHOUT_A_KEY: list[tuple[Callable[[Lines], Lines], str]] = [
    (edit, "unsealed"),
    (delete, "unsealed"),
    (insert, "unsealed"),
    (double, "unsealed"),
    (swap, "unsealed"),
    (move, "unsealed"),
    (strip_checkpoint, "unsealed"),
    (strip_rotation, "unsealed"),
    (strip_both, "unsealed"),
    (strip_last_checkpoint, "unsealed"),
    (strip_signing, "unauthorised"),
    (strip_declaration, "unauthorised"),
    (break_declaration, "unauthorised"),
    (add_before_closing, "unsealed"),
    (other_note, "unsealed"),
    (own_key, "unsealed"),
    (own_operator, "unauthorised"),
]


@pytest.mark.parametrize(
    ("attack", "code"), BY_ONE_WITHOUT_A_KEY, ids=lambda it: getattr(it, "__name__", it)
)
def test_a_folder_made_anew_without_a_key_is_tampered(
    attack: Callable[[Lines], Lines], code: str, signer: Signer, genuine: Path, tmp_path: Path
) -> None:
    out = copy(genuine, f"forged-{attack.__name__}")

    forge(out, attack)

    report = signer.audit(out)
    assert report.verdict is Verdict.TAMPERED
    assert code in codes(report)
    # The forger has left no other trace: it is the signature that shows it.
    assert codes(report) <= {"unsealed", "unauthorised", "diverged", "cut"}
    found = [finding for finding in report.findings if finding.code == code]
    assert all(finding.path == TRACE for finding in found)
    # Without a look at what lines say the checkpoints are found by their bytes: the same.
    assert codes(signer.audit(out, chain_only=True)) == codes(report)
    shutil.rmtree(out)
    del tmp_path


def test_without_a_key_to_ask_for_a_forged_operator_is_named_and_believed(
    signer: Signer, tmp_path: Path
) -> None:
    """What docs/signing.md says: anybody can make a key with any name."""
    out = tmp_path / "out"
    write(out, 600, signing_key=signer.file)
    forge(out, own_operator)
    (out / "audit/step_04/trace_04.head").unlink()

    report = audit(str(out))

    assert report.verdict is Verdict.COMPLETE
    assert {signed.trust for signed in report.signatures} == {"unchecked"}
    assert [signed.signer.partition("+")[0] for signed in report.signatures] == ["ops.example"]
    assert signer.audit(out).verdict is Verdict.TAMPERED


def test_a_tail_cut_behind_a_checkpoint_is_shown_by_the_head_and_never_complete(
    signer: Signer, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    write(out, 600, signing_key=signer.file)
    at = place_of(lines_of(out / TRACE), "checkpoint", 1) + 1

    forge(out, lambda lines: lines[:at])

    report = signer.audit(out)
    assert report.verdict is Verdict.TAMPERED
    assert "cut" in codes(report)
    # With the head put back to that checkpoint too it is an unfinished run, at best.
    note = orjson.loads(lines_of(out / TRACE)[at - 1])["note"]
    (out / "audit/step_04/trace_04.head").write_text(note)
    report = signer.audit(out)
    assert report.verdict is Verdict.INTACT_PREFIX
    assert codes(report) <= {"not_closed", "live"}  # it was this process that wrote


def test_a_run_cut_at_a_checkpoint_is_not_closed_there(signer: Signer, genuine: Path) -> None:
    """Who had no key could close the newest writer at any of its checkpoints."""
    worker = Signer(genuine.parent, certified=1)
    for who in (signer, worker):
        out = copy(genuine, "shorter")
        write(out, 900, signing_key=who.file)
        vkeys = [signer.vkey, worker.vkey]
        assert audit(str(out), vkeys=vkeys).verdict is Verdict.COMPLETE
        lines = lines_of(out / TRACE)
        checkpoints = [n for n, line in enumerate(lines) if b'"event_type":"checkpoint"' in line]

        for at in checkpoints[-4:-1]:
            shorter = copy(out, "shorter-still")
            forge(shorter, lambda lines, at=at: [*lines[: at + 1], lines[-1]])  # type: ignore[misc]
            head = shorter / "audit/step_04/trace_04.head"
            head.write_text(orjson.loads(lines[at])["note"])

            report = audit(str(shorter), vkeys=vkeys)

            assert codes(report) == {"unsealed"}
            assert "not signed as the last one" in report.findings[-1].message
            assert judged_alone(shorter, *vkeys) == 3
            shutil.rmtree(shorter)
        shutil.rmtree(out)


def test_lines_behind_the_last_checkpoint_of_a_killed_writer_never_make_it_complete(
    signer: Signer, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    write(out, 600, signing_key=signer.file)
    at = place_of(lines_of(out / TRACE), "checkpoint", 1) + 1
    (out / "audit/step_04/trace_04.head").unlink()

    for added in (1, 256, 257):
        forge(out, lambda lines: [*lines[:at], *[lines[5]] * added])  # noqa: B023 - called at once
        verdict = signer.audit(out).verdict
        assert verdict is (Verdict.TAMPERED if added > 256 else Verdict.INTACT_PREFIX)


def test_a_writer_of_another_folder_is_genuine_and_unregistered_or_named_by_the_anchor(
    signer: Signer, genuine: Path, tmp_path: Path
) -> None:
    """A whole folder of the same operator in the place of this one: only an anchor tells."""
    _, kept = anchor(str(genuine))
    assert kept is not None
    elsewhere = tmp_path / "out"
    write(elsewhere, 600, signing_key=signer.file)
    write(elsewhere, 30, signing_key=signer.file)

    assert signer.audit(elsewhere).verdict is Verdict.COMPLETE
    report = signer.audit(elsewhere, anchors=[Anchor.parse(kept.text(), path="kept")])
    assert report.verdict is Verdict.TAMPERED
    assert "diverged" in codes(report)


def test_an_older_state_put_back_is_shown_by_a_newer_anchor(signer: Signer, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, 300, signing_key=signer.file)
    older = copy(out, "older")
    _, early = anchor(str(out))
    write(out, 300, signing_key=signer.file)
    _, late = anchor(str(out))
    assert early is not None
    assert late is not None

    assert signer.audit(older).verdict is Verdict.COMPLETE
    assert signer.audit(out, anchors=[kept(early), kept(late)]).verdict is Verdict.COMPLETE
    assert signer.audit(older, anchors=[kept(early)]).verdict is Verdict.COMPLETE
    report = signer.audit(older, anchors=[kept(late)])
    assert report.verdict is Verdict.TAMPERED
    assert codes(report) == {"cut"}


def kept(checkpoint: Checkpoint) -> Anchor:
    return Anchor.parse(checkpoint.text(), path="kept")


def test_each_part_put_back_by_itself_is_shown(signer: Signer, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, 300, signing_key=signer.file)
    older = copy(out, "older")
    write(out, 300, signing_key=signer.file)
    names = ["audit/registry.jsonl", TRACE, "audit/step_04/trace_04.head"]

    for chosen in range(1, 2 ** len(names) - 1):
        mixed = copy(out, f"mixed-{chosen}")
        for n, name in enumerate(names):
            if chosen >> n & 1:
                shutil.copy(older / name, mixed / name)
        report = signer.audit(mixed)
        if chosen == 0b100:
            # An older head alone names less, which is true.
            assert report.verdict is Verdict.COMPLETE
        else:
            assert report.exit_code() == 3, (chosen, codes(report))


def test_a_trace_that_is_gone_is_missed_by_its_head(signer: Signer, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, 3, signing_key=signer.file)
    (out / TRACE).unlink()
    (out / "audit/registry.jsonl").unlink()
    write(out, 3, signing_key=signer.file)
    (out / "audit/step_04/trace_05.head").write_text("x")

    report = signer.audit(out)

    assert {f.path: f.code for f in report.findings} == {"audit/step_04/trace_05.jsonl": "missing"}


@pytest.mark.parametrize("text", ["", "x", "\udcff", "auditfold/x\n1\nAA==\n\n\u2014 x AAAA\n"])
def test_a_head_that_is_no_note_is_named(text: str, signer: Signer, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, 3, signing_key=signer.file)
    (out / "audit/step_04/trace_04.head").write_bytes(text.encode("utf-8", "surrogateescape"))

    report = signer.audit(out)

    assert codes(report) == {"unsealed"}
    assert "trace_04.head" in report.findings[0].message


def test_a_link_in_the_place_of_a_head_is_not_followed(signer: Signer, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, 3, signing_key=signer.file)
    head = out / "audit/step_04/trace_04.head"
    head.rename(out / "elsewhere")
    head.symlink_to(out / "elsewhere")

    assert codes(signer.audit(out)) == {"unsealed"}


TRIES = either(20, 1_000)


def test_the_keys_of_one_moment_forge_nothing_that_was_sealed_before(tmp_path: Path) -> None:
    """Somebody copies all keys of a running writer; the operator's key is elsewhere."""
    chance = random.Random(1)
    away = Signer(tmp_path, certified=1)
    journal = Journal(tmp_path / "out", WORKFLOW, signing_key=away.file, durability="none")
    stolen: list[tuple[int, SigningKey]] = []  # lines that were sealed, and the key then
    for n in range(1500):
        journal.append("message", {"level": "note", "text": f"event {n}"})
        writer = journal._writer
        assert writer is not None
        assert writer.sealer is not None
        if writer.sealer.note is not None:
            sealed = Checkpoint.parse(split_note(writer.sealer.note)[0]).size
            if not stolen or stolen[-1][0] != sealed:
                stolen.append((sealed, writer.sealer._key))
    journal.close()
    lines = lines_of(tmp_path / "out" / TRACE)
    assert away.audit(tmp_path / "out").verdict is Verdict.COMPLETE

    for n in range(TRIES):
        sealed, key = chance.choice(stolen)
        victim = chance.choice(
            [k for k in range(1, sealed) if b'"message"' in lines[k] and b'"text"' in lines[k]]
        )
        changed = [*lines[:victim], edited(lines[victim], text="forged"), *lines[victim + 1 :]]
        out = copy(tmp_path / "out", "try")
        forge(out, lambda _, c=changed, k=key: resigned(c, [k]))  # type: ignore[misc]
        assert away.audit(out).verdict is Verdict.TAMPERED, (n, sealed, victim)
        shutil.rmtree(out)
    # What is sealed from then on is the thief's to write.
    sealed, key = stolen[0]
    behind = [*lines[: sealed + 5], edited(lines[sealed + 5], text="forged"), *lines[sealed + 6 :]]
    out = copy(tmp_path / "out", "behind")
    (out / "audit/step_04/trace_04.head").unlink()
    forge(out, lambda _: resigned(behind, [key]))
    assert away.audit(out).verdict is Verdict.COMPLETE


def test_a_thief_of_unused_keys_can_cut_what_was_sealed_and_an_anchor_shows_it(
    tmp_path: Path,
) -> None:
    """The limit that docs/signing.md states: cutting off needs no key, following a new one."""
    away = Signer(tmp_path, certified=2)
    out = tmp_path / "out"
    write(out, 600, signing_key=away.file)
    before = Anchor.parse(anchor_text(out), path="before")
    at = place_of(lines_of(out / TRACE), "checkpoint", 1) + 1
    (out / "audit/step_04/trace_04.head").unlink()
    forge(out, lambda lines: lines[:at])

    write(out, 3, signing_key=away.file)

    assert away.audit(out).verdict is Verdict.COMPLETE
    assert away.audit(out, anchors=[before]).verdict is Verdict.TAMPERED


def anchor_text(out: Path) -> str:
    _, made = anchor(str(out))
    assert made is not None
    return made.text()


def test_a_stand_alone_verifier_agrees_on_every_attack(
    signer: Signer, genuine: Path, tmp_path: Path
) -> None:
    assert judged_alone(genuine, signer.vkey) == 0
    for attack, _ in BY_ONE_WITHOUT_A_KEY:
        out = copy(genuine, f"second-{attack.__name__}")
        forge(out, attack)
        assert judged_alone(out, signer.vkey) == 3, attack.__name__
        shutil.rmtree(out)
    del tmp_path
