"""Where Dask's scheduler is: looked for before Dask is, whose client waits for ever for a server that says nothing."""

from __future__ import annotations

import re
import socket

from meshlang.diag import Diagnostic, MeshlangError

TIMEOUT = 10.0  # seconds


def look_for(address: str) -> None:
    """MS1652 if `address` is none, or nothing is there that greets as a scheduler does: it speaks first."""
    found = re.fullmatch(r"(?:(\w+)://)?(.+?):(\d{1,5})", address)
    if not found or not 1 <= int(found[3]) <= 65535:
        raise missing(f"{address!r} is no address of a Dask scheduler", "expected such as tcp://127.0.0.1:8786")
    protocol, host, port = found.groups()
    if protocol not in (None, "tcp"):
        return  # others do not greet before they are spoken to
    try:
        with socket.create_connection((host.strip("[]"), int(port)), TIMEOUT) as door:
            greeting = door.recv(1)
    except (OSError, UnicodeError) as error:
        raise missing(f"no Dask scheduler answers at {address}: {error}") from None
    if not greeting:
        raise missing(f"no Dask scheduler answers at {address}: what is there hangs up")


def missing(
    message: str, help: str = "start one with `dask scheduler`, and workers with `dask worker ADDRESS`"
) -> MeshlangError:
    """MS1652."""
    return MeshlangError(Diagnostic("MS1652", message, help=help))
