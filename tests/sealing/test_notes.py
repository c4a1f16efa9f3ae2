"""Signed notes and keys as C2SP signed-note has them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observability.signing.keys import SigningKey
from replay.audit.anchors import signers_of
from replay.audit.checkpoint import (
    Checkpoint,
    KeyTextError,
    NoteError,
    VerifierKey,
    open_note,
    split_note,
)

# The example in the documentation of Go's golang.org/x/mod/sumdb/note.
SECRET = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
NOTE = (
    f"{TEXT}\n\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZS"
    "NXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_another_implementation_s_key_and_note_are_read() -> None:
    key = SigningKey.parse(SECRET)

    assert (str(key.verifier), key.text()) == (VKEY, SECRET)
    assert f"{TEXT}\n{key.sign(TEXT)}" == NOTE  # Ed25519 makes one signature of a text
    found = open_note(NOTE, [VKEY])
    assert found.text == TEXT
    assert [one.name for one in found.signatures] == ["PeterNeumann"]
    assert open_note(NOTE.encode(), VKEY) == found


def test_a_note_that_is_changed_anywhere_is_refused() -> None:
    for n in range(len(NOTE)):
        changed = NOTE[:n] + chr(ord(NOTE[n]) ^ 1) + NOTE[n + 1 :]
        with pytest.raises(NoteError):
            open_note(changed, [VKEY])
        with pytest.raises(NoteError):
            open_note(NOTE[:n], [VKEY])


def test_signatures_of_others_are_passed_over_and_named() -> None:
    other = SigningKey.new("other.example")
    wrong = other.sign("something else\n")
    note = NOTE + other.sign(TEXT) + other.sign(TEXT)

    found = open_note(note, [VKEY])

    assert [one.name for one in found.signatures] == ["PeterNeumann"]
    assert [one.name for one in found.unverified] == ["other.example"]
    # Which of two different ones is theirs nobody has looked at: both are there.
    assert len(open_note(note + wrong, [VKEY]).unverified) == 2
    both = open_note(note, [VKEY, str(other.verifier)])
    assert [one.name for one in both.signatures] == ["PeterNeumann", "other.example"]


def test_one_wrong_signature_of_a_known_key_spoils_the_note() -> None:
    other = SigningKey.new("other.example")
    note = NOTE + other.sign("something else\n")

    assert open_note(note, [VKEY]).text == TEXT
    with pytest.raises(NoteError, match="the signature of other"):
        open_note(note, [VKEY, other.verifier])
    with pytest.raises(NoteError, match="the signature of other"):
        signers_of(note, [other.verifier])
    assert [str(key) for key in signers_of(note, [VerifierKey.parse(VKEY)])] == [VKEY]
    assert signers_of("not signed\n", [VerifierKey.parse(VKEY)]) == []


def test_a_note_that_nobody_known_has_signed_says_who_was_asked() -> None:
    with pytest.raises(NoteError, match="not signed by other"):
        open_note(NOTE, [SigningKey.new("other").verifier])
    with pytest.raises(NoteError, match="not signed by no key"):
        open_note(NOTE, [])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        TEXT,
        f"{TEXT}\n",
        NOTE.rstrip("\n"),
        NOTE.replace("\n\n", "\n"),
        NOTE.replace("\u2014", "-"),
        NOTE.replace("PeterNeumann x", "Peter Neumann x"),
        NOTE.replace("\u2014 PeterNeumann", "\u2014 Peter+Neumann"),
        NOTE.replace("you", "y\tu"),
        NOTE.replace("\n", "\r\n"),
        f"{TEXT}\n\u2014 PeterNeumann x08g\n",
        f"{TEXT}\n\u2014 PeterNeumann ?\n",
        f"{NOTE}\u2014 other AAAAAAAA=\n",
        f"{NOTE}\u2014 other AAAAAAAA==\n",
        f"{NOTE}\u2014 other AAAAAAA\n",
        f"{TEXT}\n" + NOTE.rpartition("\n\n")[2] * 101,
        f"{'x' * 1_000_000}\n{NOTE}",
    ],
)
def test_what_is_no_note_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        open_note(text, [VKEY])


def test_bytes_that_are_no_text_are_no_note() -> None:
    for data in (b"\xff" + NOTE.encode(), NOTE.encode()[:60] + b"\xed\xa0\x80" + NOTE.encode()):
        with pytest.raises(NoteError):
            open_note(data, [VKEY])
    with pytest.raises(NoteError):
        open_note("\udcff" + NOTE, [VKEY])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a+b+c",
        VKEY.replace("c74f20a3", "c74f20a4"),
        VKEY.replace("PeterNeumann", "PeterNeuman"),
        VKEY.replace("PeterNeumann", "Peter Neumann"),
        VKEY.replace("PeterNeumann", ""),
        VKEY[:-4],
        VKEY + "AAAA",
        VKEY + "\u00e9",
        VKEY + "====",
        VKEY.replace("+AR", "+Ax"),
        SECRET,
    ],
)
def test_what_is_no_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(KeyTextError):
        VerifierKey.parse(text)


def test_what_is_wrong_with_a_secret_key_does_not_say_the_key() -> None:
    for text in (SECRET[:-4], SECRET.replace("c74f20a3", "c74f20a4"), SECRET[12:], f"x{SECRET}"):
        with pytest.raises(KeyTextError) as caught:
            SigningKey.parse(text)
        assert "YEKFALVFGyNhPJ" not in str(caught.value)
    assert "YEKFALVFGyNhPJ" not in repr(SigningKey.parse(SECRET))


@given(
    origin=st.text(st.characters(min_codepoint=33, exclude_categories=["C", "Z"]), min_size=1),
    size=st.integers(0, 2**63 - 1),
    root=st.binary(min_size=32, max_size=32),
)
def test_a_checkpoint_is_its_text(origin: str, size: int, root: bytes) -> None:
    made = Checkpoint(origin, size, root, ("one more line",))

    assert Checkpoint.parse(made.text()) == made


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\n1\n",
        "a\n01\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "a\n-1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "a\n+1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "a\n9223372036854775808\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "a\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=\n",
        "a\n1\nAAAA\n",
        "a\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "a\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\nx\n",
        "\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        Checkpoint.parse(text)


@given(st.binary(max_size=300) | st.text(max_size=300))
def test_any_input_is_a_note_or_a_note_error(data: bytes | str) -> None:
    try:
        split_note(data)
    except NoteError:
        return
    said = data.decode() if isinstance(data, bytes) else data
    assert said.count("\n\n") >= 1
