"""Vectors of signed traces, each audited with the operator's verifier key: row 4.

The keys come from fixed seeds, so that the signatures are the same every time; they are nobody's.
"""

from hashlib import sha256
from typing import Any, Final

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from observability.signing.keys import SigningKey, certify
from replay.audit.anchors import make_anchor
from replay.audit.checkpoint import Checkpoint
from replay.audit.facts import Facts, Mark
from replay.audit.merkle import root
from replay.audit.seals import EVERY
from tests.vectors.making import ALICE, BOB, REGISTRY, TRACE, Out, Writer, lines_of, rewritten
from tests.vectors.vector import Vector, vector

HEAD: Final = TRACE.replace(".jsonl", ".head")


def key_of(label: str, name: str) -> SigningKey:
    """Return a key that is the same every time."""
    return SigningKey(name, Ed25519PrivateKey.from_private_bytes(sha256(label.encode()).digest()))


OPERATOR: Final = key_of("operator", "ops.example")
OTHER: Final = key_of("other operator", "ops.example")


class SignedWriter(Writer):
    """A writer that signs as docs/trace-format.md, "Checkpoints", says.

    Attributes:
        note: Of its newest checkpoint.
    """

    def __init__(self, out: Out, writer: str = ALICE, **how: Any) -> None:
        super().__init__(out, writer, **how)
        self.note = ""
        self._begin = self.file.lines
        self._epoch = 0

    def key(self, epoch: int) -> SigningKey:
        """Return the key of that number, from 0."""
        return key_of(f"{self.id}/{epoch}", f"auditfold/{self.id}")

    def sign(
        self,
        *,
        by: SigningKey = OPERATOR,
        of: str | None = ALICE,
        end_signed: bool = False,
        **payload: Any,
    ) -> None:
        """Append `writer_opened` with a certificate *by* somebody, *of* a writer."""
        certificate = certify(self.key(0), by, writer=of)
        said = {"end_signed": True} if end_signed else {}
        signing = {"key": str(self.key(0).verifier), "certificate": certificate, **said}
        self.open(signing=signing, **payload)

    def rotate(self) -> None:
        """Append `key_rotated`."""
        self.put("key_rotated", key=str(self.key(self._epoch + 1).verifier))

    def check(
        self, *, last: bool = False, by: SigningKey | None = None, size: int = 0, end: bool = False
    ) -> None:
        """Append `checkpoint`; *by* another key or of another size where that is the point.

        The operator signs the *last*, the next key too what is the *end* of a writer that says so.
        """
        lines = lines_of(self.file.data)[self._begin :]
        hashes = [orjson.loads(line)["hash"] for line in lines]
        text = Checkpoint(f"auditfold/{self.id}", size or len(hashes), root(hashes)).text()
        signed = (by or self.key(self._epoch)).sign(text) + (OPERATOR.sign(text) if last else "")
        signed += self.key(self._epoch + 1).sign(text) if end else ""
        self.note = f"{text}\n{signed}"
        self.put("checkpoint", note=self.note)
        self._epoch += 1

    def seal(self, *, last: bool = False) -> None:
        """Append a checkpoint with the next key before it."""
        self.rotate()
        self.check(last=last)

    def small_run(self) -> None:
        """Append a signed run of one node: 10 lines."""
        self.sign(of=self.id)
        self.rest()
        self.seal(last=True)
        self.close()

    def rest(self) -> None:
        """Append a run of one node, from `workflow_start` to its end."""
        self.start()
        self.node("orders", 0)
        self.message("1,200 rows read")
        self.succeed("orders", 0, rows=1197)
        self.complete(orders=0.5)


def finish(v: Vector, out: Out, *, head: str = "") -> None:
    """Take the files of *out*, with a head where there is one, to be audited with the key."""
    v.folder(out)
    v.vkey = str(OPERATOR.verifier)
    if head:
        v.files[HEAD] = head.encode()


@vector("sealed")
def signed_run(v: Vector) -> None:
    """A signed run: one checkpoint, that of the end, which the operator has signed too."""
    out = Out()
    w = SignedWriter(out)
    w.small_run()
    finish(v, out, head=w.note)


@vector("sealed")
def signed_beforehand(v: Vector) -> None:
    """A certificate that names no writer: it was made before there was one."""
    out = Out()
    w = SignedWriter(out)
    w.sign(of=None)
    w.rest()
    w.seal()
    w.close()
    finish(v, out, head=w.note)


@vector("sealed")
def checkpoint_after_256(v: Vector) -> None:
    """A checkpoint after 256 events, and one at the end; the second key signs the second."""
    out = Out()
    w = SignedWriter(out)
    w.sign()
    for n in range(EVERY - 1):
        w.put("message", level="note", text=f"{n}")
    w.seal()
    w.put("message", level="note", text="one more")
    w.seal(last=True)
    w.close()
    finish(v, out, head=w.note)


def _with_signed_end(out: Out) -> SignedWriter:
    """Return a writer that has said that its end will be signed, with one checkpoint."""
    w = SignedWriter(out)
    w.sign(of=None, end_signed=True)
    w.start()
    w.seal()
    w.node("orders", 0)
    return w


@vector("sealed")
def end_signed(v: Vector) -> None:
    """The checkpoint of the end is signed by the next key too, as the opening has said."""
    out = Out()
    w = _with_signed_end(out)
    w.succeed("orders", 0, rows=1197)
    w.complete(orders=0.5)
    w.rotate()
    w.check(end=True)
    w.close()
    finish(v, out, head=w.note)


@vector("sealed")
def closed_at_an_earlier_checkpoint(v: Vector) -> None:
    """A run was cut off at a checkpoint that is not that of its end, and closed there."""
    out = Out()
    w = SignedWriter(out)
    w.sign(of=None, end_signed=True)
    w.start()
    w.seal()
    w.close()
    finish(v, out, head=w.note)
    v.find("unsealed", 5, path=TRACE)


@vector("sealed")
def closing_lines_of_another_run(v: Vector) -> None:
    """What closes a writer, which nothing covers, was given the name of another run."""
    out = Out()
    w = _with_signed_end(out)
    w.rotate()
    w.check(end=True)
    SignedWriter(out, run_of=BOB).close()
    finish(v, out, head=w.note)
    v.find("unsealed", 8, path=TRACE)


@vector("sealed")
def two_signed_writers(v: Vector) -> None:
    """Two runs in one file; the leaves of the second begin with its own first line."""
    out = Out()
    SignedWriter(out).small_run()
    follows = out.file().extent(ALICE)
    w = SignedWriter(out, BOB)
    w.sign(of=BOB, follows=follows)
    w.rest()
    w.seal(last=True)
    w.close()
    finish(v, out, head=w.note)


@vector("sealed")
def signed_writer_killed(v: Vector) -> None:
    """A signed writer was killed with three events behind its last checkpoint."""
    out = Out()
    w = SignedWriter(out)
    w.sign()
    w.start()
    w.seal()
    w.node("orders", 0)
    w.message("1,200 rows read")
    w.message("and then")
    finish(v, out, head=w.note)
    v.find("not_closed", 7, path=TRACE)


@vector("sealed")
def checkpoint_missing(v: Vector) -> None:
    """A 257th event stands without a checkpoint before it."""
    out = Out()
    w = SignedWriter(out)
    w.sign()
    for n in range(EVERY):
        w.put("message", level="note", text=f"{n}")
    w.seal(last=True)
    w.close()
    finish(v, out)
    v.find("unsealed", EVERY + 1, path=TRACE)


@vector("sealed")
def closed_without_checkpoint(v: Vector) -> None:
    """The writer closed, and the line before is no checkpoint."""
    out = Out()
    w = SignedWriter(out)
    w.sign()
    w.seal()
    w.rest()
    w.close()
    finish(v, out, head=w.note)
    v.find("unsealed", 9, path=TRACE)


@vector("sealed")
def edited_and_chained(v: Vector) -> None:
    """A line was edited and every hash made anew, the registry's too: the root shows it."""
    out = Out()
    SignedWriter(out).small_run()
    data = rewritten(out.trace(), 4, lambda line: line.replace(b"1,200", b"1,300"))
    out.file().data = data
    last = lines_of(data)[-1]
    digits = orjson.loads(last)["hash"].encode()
    old = lines_of(out.registry.data)[1]
    was = orjson.loads(old)["trace"]["hash"].encode()
    out.registry.data = rewritten(out.registry.data, 2, lambda line: line.replace(was, digits))
    finish(v, out)
    v.find("unsealed", 8, path=TRACE)


@vector("sealed")
def signed_by_another_key(v: Vector) -> None:
    """The checkpoint is signed by a key that nobody named."""
    out = Out()
    w = SignedWriter(out)
    w.sign()
    w.rest()
    w.rotate()
    w.check(by=key_of("a stranger", f"auditfold/{ALICE}"))
    w.close()
    finish(v, out)
    v.find("unsealed", 8, path=TRACE)


@vector("sealed")
def signed_by_the_next_key(v: Vector) -> None:
    """The checkpoint is signed by the key that signs only behind it."""
    out = Out()
    w = SignedWriter(out)
    w.sign()
    w.rest()
    w.rotate()
    w.check(by=w.key(1))
    w.close()
    finish(v, out)
    v.find("unsealed", 8, path=TRACE)


@vector("sealed")
def no_next_key(v: Vector) -> None:
    """A checkpoint without a key_rotated before it."""
    out = Out()
    w = SignedWriter(out)
    w.sign()
    w.rest()
    w.check(last=True)
    w.close()
    finish(v, out)
    v.find("unsealed", 7, path=TRACE)


@vector("sealed")
def size_of_another_line(v: Vector) -> None:
    """A checkpoint says one line less than there were."""
    out = Out()
    w = SignedWriter(out)
    w.sign()
    w.rest()
    w.rotate()
    w.check(size=6)
    w.close()
    finish(v, out)
    v.find("unsealed", 8, path=TRACE)


@vector("sealed")
def certified_by_another(v: Vector) -> None:
    """The certificate is by another key of the same name."""
    out = Out()
    w = SignedWriter(out)
    w.sign(by=OTHER)
    w.rest()
    w.seal()
    w.close()
    finish(v, out)
    v.find("unauthorised", 1, path=TRACE)


@vector("sealed")
def certificate_of_another_writer(v: Vector) -> None:
    """The certificate names another writer."""
    out = Out()
    w = SignedWriter(out)
    w.sign(of=BOB)
    w.rest()
    w.seal()
    w.close()
    finish(v, out)
    v.find("unsealed", 1, path=TRACE)
    v.find("unauthorised", 1, path=TRACE)


@vector("sealed")
def not_signed(v: Vector) -> None:
    """A writer that does not sign, and somebody who asks for the operator's key."""
    out = Out()
    Writer(out).small_run()
    finish(v, out)
    v.find("unauthorised", 1, path=TRACE)


@vector("sealed")
def head_names_more(v: Vector) -> None:
    """The trace was cut behind its first checkpoint, and its head knows a later one."""
    out = Out()
    w = SignedWriter(out)
    w.sign()
    w.start()
    w.seal()
    kept, hash_, lines = out.file().data, out.file().hash, out.file().lines
    w.node("orders", 0)
    w.seal()
    out.file().data, out.file().hash, out.file().lines = kept, hash_, lines
    finish(v, out, head=w.note)
    v.find("not_closed", 4, path=TRACE)
    v.find("cut", 5, path=TRACE)


@vector("sealed")
def head_of_another_trace(v: Vector) -> None:
    """The head is a checkpoint of so many lines, with another root."""
    out = Out()
    w = SignedWriter(out)
    w.small_run()
    text = Checkpoint(f"auditfold/{ALICE}", 8, sha256(b"another").digest()).text()
    finish(v, out, head=f"{text}\n{w.key(0).sign(text)}")
    v.find("diverged", path=TRACE)


def _anchored(out: Out) -> str:
    """Return the anchor of a folder as it stands, signed by the operator."""
    facts = [_facts(REGISTRY, out.registry.data), _facts(TRACE, out.trace())]
    text = make_anchor(facts[0], facts[1:]).text()
    return f"{text}\n{OPERATOR.sign(text)}"


def _facts(name: str, data: bytes) -> Facts:
    hashes = [orjson.loads(line)["hash"].encode() for line in lines_of(data)]
    marks = {n: Mark((digits,), None) for n, digits in enumerate(hashes, 1)}
    return Facts(name=name, path=name, lines=len(hashes), marks=marks)


@vector("sealed")
def anchor_extended(v: Vector) -> None:
    """An anchor of the first run, and a second run behind it."""
    out = Out()
    SignedWriter(out).small_run()
    v.anchor = _anchored(out)
    follows = out.file().extent(ALICE)
    w = SignedWriter(out, BOB)
    w.sign(of=BOB, follows=follows)
    w.seal(last=True)
    w.close()
    finish(v, out, head=w.note)


@vector("sealed")
def older_state_put_back(v: Vector) -> None:
    """The folder is as it was before the second run, which the anchor knows."""
    out = Out()
    first = SignedWriter(out)
    first.small_run()
    finish(v, out, head=first.note)
    before = dict(v.files)
    follows = out.file().extent(ALICE)
    w = SignedWriter(out, BOB)
    w.sign(of=BOB, follows=follows)
    w.seal(last=True)
    w.close()
    v.anchor = _anchored(out)
    v.files = before
    v.find("cut", 3, path=REGISTRY)
    v.find("cut", 10, path=TRACE)
