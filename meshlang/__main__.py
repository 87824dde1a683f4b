"""`python -m meshlang` is `meshlang`."""

import sys

from meshlang.cli import main

sys.exit(main())
