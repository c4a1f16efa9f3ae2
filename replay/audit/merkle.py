"""Merkle trees over the hashes of lines: roots and the proofs that go with them.

The hash of a line is the leaf hash of the entry that it covers, so a tree over a writer's lines
needs nothing but these hashes.  Pure; nothing here knows files or keys.

Source: RFC 6962, section 2.1 (hashes of nodes), RFC 9162, sections 2.1.3.2 and 2.1.4.2 (how
proofs are checked).
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final, TypeAlias

Hash: TypeAlias = bytes | str
"""A hash as its 32 bytes, or as 64 hex digits."""

_LENGTH: Final = 32
_PAIR: Final = 64
EMPTY: Final = sha256(b"").digest()


class Tree:
    """The left edge of a tree that leaves are added to: of n leaves at most log2(n) + 1 hashes.

    Attributes:
        size: Leaves so far.
    """

    __slots__ = ("_peaks", "size")

    def __init__(self) -> None:
        self.size = 0
        # By level: the root of a full subtree of 2^level leaves that waits for its right half.
        self._peaks: list[bytes | None] = []

    def copy(self) -> "Tree":
        """Return another tree of the same leaves."""
        other = Tree()
        other.size, other._peaks = self.size, self._peaks.copy()
        return other

    def extend(self, leaves: bytes) -> None:
        """Add leaf hashes, 32 bytes each, without anything in between.

        Cost: 0.4 us each when many come at a time.
        """
        nodes, peaks, level = leaves, self._peaks, 0
        self.size += len(leaves) // _LENGTH
        while nodes:
            if level == len(peaks):
                peaks.append(None)
            nodes = (peaks[level] or b"") + nodes
            odd = len(nodes) % _PAIR
            peaks[level] = nodes[-odd:] if odd else None
            pairs = [b"\1" + nodes[n : n + _PAIR] for n in range(0, len(nodes) - odd, _PAIR)]
            nodes = b"".join([hashed.digest() for hashed in map(sha256, pairs)])
            level += 1

    def root(self) -> bytes:
        """Return the root, 32 bytes; of an empty tree SHA-256 of nothing."""
        found: bytes | None = None
        for peak in self._peaks:
            if peak is not None:
                found = peak if found is None else node_hash(peak, found)
        return EMPTY if found is None else found


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node, 32 bytes: SHA-256(0x01 || *left* || *right*)."""
    return sha256(b"\1" + left + right).digest()


def root(hashes: Iterable[Hash]) -> bytes:
    """Return the root of the tree with these leaf hashes, 32 bytes.

    Args:
        hashes: Of the leaves in order, each 32 bytes or 64 hex digits: those of the lines of a
            trace as they stand there.

    Raises:
        ValueError: One is no hash.

    >>> root([]).hex()[:16]
    'e3b0c44298fc1c14'
    """
    tree = Tree()
    tree.extend(b"".join(map(_raw, hashes)))
    return tree.root()


def inclusion_ok(index: int, size: int, leaf_hash: Hash, proof: Sequence[Hash], root: Hash) -> bool:
    """Return whether *proof* shows that a leaf stands in a tree.

    Args:
        index: Place of the leaf, from 0.
        size: Leaves in the tree.
        leaf_hash: Of the leaf.
        proof: Hashes from the leaf's sibling up.
        root: Of the tree.

    Anything that is no hash, place or size is no proof: it is False, not an error.
    """
    if not _are_counts(index, size) or index >= size:
        return False
    try:
        here, rest, want = _raw(leaf_hash), [_raw(one) for one in proof], _raw(root)
    except ValueError:
        return False
    last = size - 1
    for sibling in rest:
        if last == 0:
            return False
        if index % 2 or index == last:
            here = node_hash(sibling, here)
            while index % 2 == 0 and index:
                index, last = index >> 1, last >> 1
        else:
            here = node_hash(here, sibling)
        index, last = index >> 1, last >> 1
    return last == 0 and here == want


def consistency_ok(size1: int, size2: int, proof: Sequence[Hash], root1: Hash, root2: Hash) -> bool:
    """Return whether *proof* shows that the first tree is the beginning of the second.

    Args:
        size1: Leaves of the first tree.
        size2: Leaves of the second, not less.
        proof: As RFC 6962, section 2.1.2 has it; empty for equal sizes and for an empty tree.
        root1: Of the first tree.
        root2: Of the second.  With equal sizes it has to be the first one; nothing is hashed then,
            and what either of them looks like is not asked.

    Anything else that is no hash or size is no proof: it is False, not an error.
    """
    if not _are_counts(size1, size2) or size1 > size2:
        return False
    if size1 == size2 and root1 == root2:
        return not proof
    try:
        rest, first, second = [_raw(one) for one in proof], _raw(root1), _raw(root2)
    except ValueError:
        return False
    if size1 == size2:  # one as bytes, one as digits
        return not rest and first == second
    if size1 == 0:  # every tree begins with the empty one
        return not rest and first == EMPTY
    if not rest:
        return False
    if size1 & (size1 - 1) == 0:
        rest.insert(0, first)
    return _both_roots(size1 - 1, size2 - 1, rest) == (first, second)


def _both_roots(fn: int, sn: int, proof: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """Return the roots that *proof* leads to; the names are those of RFC 9162, 2.1.4.2."""
    while fn % 2:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = proof[0]
    for c in proof[1:]:
        if sn == 0:
            return None
        if fn % 2 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            while fn % 2 == 0 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return (fr, sr) if sn == 0 else None


def _are_counts(*values: object) -> bool:
    """Return whether all are whole numbers from 0 on."""
    return all(isinstance(value, int) and value >= 0 for value in values)


def _raw(value: Hash) -> bytes:
    """Return a hash as 32 bytes.

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, str) and len(value) == 2 * _LENGTH:
        value = bytes.fromhex(value)
    if not isinstance(value, bytes) or len(value) != _LENGTH:
        raise ValueError(f"got {value!r}, want 32 bytes or 64 hex digits")
    return value
