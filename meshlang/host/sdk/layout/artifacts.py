"""What SdkLayout.compile writes and SdkRuntime reads: a program folder, and beside it

    layout.json     streams (name, direction, color, PE), symbols with initial data
    layout.npz      these data
    colors.json     global name -> value of each color
    port_map.json   the streams again, when asked for
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

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


@dataclass(frozen=True)
class SymbolData:
    """Initial data of the variable `name` on the PEs from (x, y) on: [height, width, elements]."""

    name: str
    x: int
    y: int
    data: np.ndarray


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
        cls, folder: str, program: Program, ports: list[Port], symbols: list[SymbolData], colors: dict[str, int], port_map: bool
    ) -> SdkCompileArtifacts:
        path = serial.save(program, folder)
        document = {"ports": [asdict(p) for p in ports], "symbols": [{"name": s.name, "x": s.x, "y": s.y} for s in symbols]}
        _dump(path / "layout.json", document)
        np.savez_compressed(path / "layout.npz", **{f"s{i}": s.data for i, s in enumerate(symbols)})  # type: ignore[arg-type]
        _dump(path / "colors.json", colors)
        if port_map:
            _dump(path / "port_map.json", document["ports"])
        return cls(folder)


def read_layout(folder: str | os.PathLike) -> tuple[list[Port], list[SymbolData]]:
    """Ports and initial data of a program folder; none when it was not made by SdkLayout. MS0902."""
    path = Path(folder) / "layout.json"
    if not path.exists():
        return [], []
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        with np.load(path.with_suffix(".npz"), allow_pickle=False) as file:
            symbols = [SymbolData(**s, data=file[f"s{i}"]) for i, s in enumerate(document["symbols"])]
        return [Port(**p) for p in document["ports"]], symbols
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise MeshlangError(Diagnostic("MS0902", f"{path} is damaged: {error}", help="compile the layout again")) from None


def _dump(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
