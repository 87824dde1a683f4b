"""The pictures of README.md and the gallery, made by our own tools: `python .ci/pictures.py`.

Each is what a command writes; SHOWN has the commands, and the gallery of the site shows them beside the pictures.
"""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "pictures"
sys.path.insert(0, str(ROOT))


@dataclass(frozen=True)
class Shown:
    """A run and its files. command: what is run, behind `meshlang run`, in the repository; exit_code: how it ends."""

    title: str
    command: str
    option: str
    file: str
    exit_code: int = 0

    @property
    def line(self) -> str:
        return f"meshlang run {self.command} {self.option} {self.file}"


SHOWN = (
    Shown("MeshGEMV, all of it", "programs/meshgemv -p P=8", "--trace", "meshgemv.svg"),
    Shown(
        "MeshGEMV, moving: a K-tree adds up along the columns",
        "programs/meshgemv -p P=6",
        "--trace",
        "meshgemv.anim.svg",
    ),
    Shown("PEs that wait for each other in a circle", "tests/inspect/programs/ring", "--trace", "ring.svg", 3),
)
# pages of runs; the site has them, the repository has not
PAGES = (
    Shown("MeshGEMM", "programs/meshgemm -p P=8", "--html", "meshgemm.html"),
    Shown("MeshGEMV", "programs/meshgemv -p P=8", "--html", "meshgemv.html"),
    Shown("A deadlock", "tests/inspect/programs/ring", "--html", "ring.html", 3),
)


def make(folder: Path, shown: tuple[Shown, ...] = SHOWN) -> None:
    from meshlang.cli import main

    folder.mkdir(parents=True, exist_ok=True)
    for one in shown:
        path, *more = one.command.split()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
            code = main(["run", str(ROOT / path), *more, one.option, str(folder / one.file)])
        if code != one.exit_code:
            raise SystemExit(f"{one.line}: exit code {code}\n{said.getvalue()}")


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
