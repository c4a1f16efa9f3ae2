"""Write the vectors: `python -m tests.vectors.generate [FOLDER]`.

The same bytes every time.  Large vectors are written only with `--large`: a test makes them
anew, the repository does not keep them.
"""

import argparse
from pathlib import Path

from tests.vectors import invalid_files, invalid_lines, sealed_vectors, valid_vectors
from tests.vectors.vector import Vector, made

_MODULES = valid_vectors, invalid_lines, invalid_files, sealed_vectors


def vectors() -> list[Vector]:
    """Return every vector, the large ones too."""
    assert all(_MODULES)
    return list(made())


def main() -> None:
    """Write every vector under the folder given, or over the ones that are kept."""
    parser = argparse.ArgumentParser(description="Write the vectors of the trace format.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent)
    parser.add_argument("--large", action="store_true", help="the large ones too")
    given = parser.parse_args()
    for vector in vectors():
        if given.large or not vector.large:
            vector.write(given.folder)


if __name__ == "__main__":
    main()
