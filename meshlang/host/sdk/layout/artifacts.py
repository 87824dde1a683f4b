"""What SdkLayout.compile writes and SdkRuntime reads: a program folder, and beside it

layout.json     streams: name, direction, color, PE
colors.json     global name -> value of each color
port_map.json   the streams again, when asked for
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from meshlang import files
from meshlang.diag import Diagnostic, MeshlangError
from meshlang.ir import serial
from meshlang.ir.program import Program


@dataclass(frozen=True)
class Port:
    """A stream as the host sees it: where it meets the fabric. `incoming`: from the host."""

    name: str
    incoming: bool
    color: int
    x: int
    y: int


class SdkCompileArtifacts:
    """A compiled layout, by the path of its folder."""

    def __init__(self, artifacts_path: str | os.PathLike):
        self.path = os.fspath(artifacts_path)

    def __fspath__(self) -> str:
        return self.path

    def __repr__(self) -> str:
        return f"SdkCompileArtifacts({self.path!r})"

    @classmethod
    def write(
        cls, folder: str, program: Program, ports: list[Port], colors: dict[str, int], port_map: bool
    ) -> SdkCompileArtifacts:
        """Save a compiled layout to a folder, with its ports and the values of its colors; `port_map`: with a port map,
        too."""
        path = serial.save(program, folder)
        rows = [asdict(p) for p in ports]
        _dump(path / "layout.json", {"ports": rows})
        _dump(path / "colors.json", colors)
        if port_map:
            _dump(path / "port_map.json", rows)
        return cls(folder)


def read_ports(folder: str | os.PathLike) -> list[Port]:
    """The streams of a program folder; none when it was not made by SdkLayout. MS0902."""
    path = Path(folder) / "layout.json"
    if not path.exists():
        return []
    try:
        return [Port(**p) for p in json.loads(path.read_text(encoding="utf-8"))["ports"]]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise MeshlangError(
            Diagnostic("MS0902", f"{path} is damaged: {error}", help="compile the layout again")
        ) from None


def _dump(path: Path, value: object) -> None:
    files.write_text(path, json.dumps(value, indent=2) + "\n")
