"""The storm of tests/writing, with a checkpoint after 8 events: `storm.py OUT MODE SEED`."""

import sys

from replay.audit import seals

vars(seals)["EVERY"] = 8  # so that many signals fall into a checkpoint

from tests.writing.storm import main  # noqa: E402 - it reads the number when it is imported

if __name__ == "__main__":
    main(*sys.argv[1:])
