"""Roots and proofs beside the definitions of RFC 6962, section 2.1, written down as they stand."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.audit.merkle import EMPTY, Tree, consistency_ok, inclusion_ok, node_hash, root
from replay.trace.line import line_hash

MOST = 40
LEAVES = [sha256(b"\0%d" % n).digest() for n in range(MOST)]


def split(n: int) -> int:
    """Return the largest power of two below *n*."""
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def mth(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, 2.1, over leaf hashes."""
    if len(leaves) <= 1:
        return leaves[0] if leaves else sha256(b"").digest()
    k = split(len(leaves))
    return sha256(b"\1" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def path(m: int, leaves: list[bytes]) -> list[bytes]:
    """PATH of RFC 6962, 2.1.1."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def proof(m: int, leaves: list[bytes]) -> list[bytes]:
    """PROOF of RFC 6962, 2.1.2."""
    return subproof(m, leaves, known=True)


def subproof(m: int, leaves: list[bytes], *, known: bool) -> list[bytes]:
    if m == len(leaves):
        return [] if known else [mth(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], known=known), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], known=False), mth(leaves[:k])]


def test_roots_are_those_of_the_definition() -> None:
    for n in range(MOST + 1):
        assert root(LEAVES[:n]) == mth(LEAVES[:n])
        assert root([leaf.hex() for leaf in LEAVES[:n]]) == mth(LEAVES[:n])


@given(cuts=st.lists(st.integers(0, MOST)))
def test_a_tree_that_grows_in_any_steps_has_the_same_root(cuts: list[int]) -> None:
    tree, at = Tree(), 0
    for cut in sorted(cuts):
        before = tree.copy()
        tree.extend(b"".join(LEAVES[at:cut]))
        assert (before.size, before.root()) == (at, mth(LEAVES[:at]))
        at = cut
        assert (tree.size, tree.root()) == (at, mth(LEAVES[:at]))


def test_every_proof_of_the_definition_is_accepted() -> None:
    for n in range(1, MOST + 1):
        tree = mth(LEAVES[:n])
        for m in range(n):
            assert inclusion_ok(m, n, LEAVES[m], path(m, LEAVES[:n]), tree)
            whole = proof(m + 1, LEAVES[:n])
            assert consistency_ok(m + 1, n, whole, mth(LEAVES[: m + 1]), tree)


def test_every_wrong_inclusion_proof_is_refused() -> None:
    for n in range(1, 20):
        tree = mth(LEAVES[:n])
        for m in range(n):
            good = path(m, LEAVES[:n])
            for other in range(n):
                assert inclusion_ok(other, n, LEAVES[m], good, tree) == (other == m)
            assert not inclusion_ok(m, n, LEAVES[MOST - 1], good, tree)
            assert not inclusion_ok(m, n, LEAVES[m], good, EMPTY)
            assert not inclusion_ok(m, n, LEAVES[m], [*good, EMPTY], tree)
            assert not inclusion_ok(m, n, LEAVES[m], [EMPTY, *good], tree)
            for cut in range(len(good)):
                assert not inclusion_ok(m, n, LEAVES[m], good[:cut], tree)
                assert not inclusion_ok(m, n, LEAVES[m], flipped(good, cut), tree)


def test_every_wrong_consistency_proof_is_refused() -> None:
    for n in range(2, 20):
        tree = mth(LEAVES[:n])
        for m in range(1, n):
            good, first = proof(m, LEAVES[:n]), mth(LEAVES[:m])
            for other in range(n + 2):
                assert consistency_ok(other, n, good, first, tree) == (other == m)
            assert not consistency_ok(m, n, good, tree, tree)
            assert not consistency_ok(m, n, good, first, first)
            assert not consistency_ok(m, n, [*good, EMPTY], first, tree)
            for cut in range(len(good)):
                assert not consistency_ok(m, n, good[:cut], first, tree)
                assert not consistency_ok(m, n, flipped(good, cut), first, tree)


def flipped(hashes: list[bytes], n: int) -> list[bytes]:
    return [*hashes[:n], bytes([hashes[n][0] ^ 1]) + hashes[n][1:], *hashes[n + 1 :]]


def test_every_tree_begins_with_the_empty_one_and_with_itself() -> None:
    tree = mth(LEAVES[:5])

    assert consistency_ok(0, 5, [], EMPTY, tree)
    assert consistency_ok(0, 0, [], EMPTY, EMPTY)
    assert consistency_ok(5, 5, [], tree, tree)
    assert not consistency_ok(5, 5, [EMPTY], tree, tree)
    assert not consistency_ok(0, 5, [], tree, tree)
    assert not consistency_ok(5, 4, [], tree, tree)
    assert not consistency_ok(-1, 5, [], EMPTY, tree)
    assert not consistency_ok(0, 0, [], EMPTY, tree)
    # Of equal sizes both roots are one, whatever that is.
    assert consistency_ok(1, 1, [], b"any", b"any")
    assert consistency_ok(5, 5, [], tree, tree.hex())
    assert not consistency_ok(5, 5, [tree], tree, tree.hex())
    assert not consistency_ok(1, 1, [], b"any", b"other")


@pytest.mark.parametrize("wrong", [None, "0", 0.0, -1, b"\0"])
def test_what_is_no_number_is_no_place_and_no_size(wrong: int) -> None:
    one = LEAVES[0]

    assert not inclusion_ok(wrong, 1, one, [], one)
    assert not inclusion_ok(0, wrong, one, [], one)
    assert not consistency_ok(wrong, 1, [], EMPTY, one)
    assert not consistency_ok(0, wrong, [], EMPTY, one)


@pytest.mark.parametrize("wrong", [b"", b"x" * 31, b"x" * 64, "ab", "zz" * 32, None])
def test_what_is_no_hash_proves_nothing(wrong: bytes) -> None:
    one = LEAVES[0]

    assert not inclusion_ok(0, 1, wrong, [], one)
    assert not inclusion_ok(0, 2, one, [wrong], one)
    assert not consistency_ok(1, 2, [wrong], one, one)
    with pytest.raises(ValueError, match=r"32 bytes|hexadecimal"):
        root([wrong])


def test_the_hash_of_a_line_is_its_leaf_hash() -> None:
    previous, body = b"0" * 64, b'{"v":1'

    digits = line_hash(previous, body)

    assert bytes.fromhex(digits.decode()) == sha256(b"\0" + previous + body).digest()
    assert root([digits.decode()]) == sha256(b"\0" + previous + body).digest()
    assert node_hash(b"a" * 32, b"b" * 32) == sha256(b"\1" + b"a" * 32 + b"b" * 32).digest()
