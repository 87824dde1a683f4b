"""The suite tests the compiled engine from its first program on, and starts no process that outlives it."""

import os

os.environ.setdefault("MESHLANG_BACKGROUND", "0")
