"""From a trace to a file: the exporter is chosen by the ending."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from meshlang import files
from meshlang.diag import Diagnostic, MeshlangError

if TYPE_CHECKING:
    from .model import Trace

Writer = Callable[["Trace", BinaryIO], None]
ENDINGS = {
    ".perfetto-trace": ("perfetto", "write_perfetto"),
    ".pftrace": ("perfetto", "write_perfetto"),
    ".perfetto": ("perfetto", "write_perfetto"),
    ".log": ("simlog", "write_simlog"),
    ".vcd": ("vcd", "write_vcd"),
    ".npz": ("columns", "write_npz"),
    ".csv": ("columns", "write_csv"),
    ".html": ("html", "write_html"),
    ".anim.svg": ("picture", "write_animated_svg"),
    ".svg": ("picture", "write_svg"),
}


def ending_of(path: str | Path) -> str | None:
    """The ending that chooses the format, None where there is none such."""
    name = Path(path).name.lower()
    return next((ending for ending in ENDINGS if name.endswith(ending)), None)


def writer_for(path: str | Path) -> Writer:
    """The exporter for a file name. MS1005 when there is none."""
    found = ending_of(path)
    if found is None:
        ending = Path(path).suffix
        raise MeshlangError(
            Diagnostic(
                "MS1005",
                f"--trace {path}: no trace format has the ending {ending!r}"
                if ending
                else f"--trace {path}: the ending of the file chooses the format, and there is none",
                help=f"endings: {', '.join(ENDINGS)}",
            ),
            exit_code=2,
        )
    module, function = ENDINGS[found]
    return getattr(import_module(f"{__package__}.{module}"), function)


def export(trace: Trace, path: str | Path) -> None:
    """Write a trace. MS1005: unknown ending; MS0901: the file cannot be written."""
    write = writer_for(path)
    with files.replacing(path) as file:
        write(trace, file)
