"""The commands of the REPL. Importing this package registers all of them."""

from . import fabric, pes, program, recording, running, session, time  # noqa: F401
