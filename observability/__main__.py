"""`python -m observability` is `auditfold`."""

import sys

from observability.cli.main import main

sys.exit(main())
