"""`meshlang init`: a new program in a folder of its own, which runs at once."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "begin a program: a folder with layout, PE code, host script and test"
EXAMPLES = """\
examples:
  meshlang init first           layout.csl, pe.csl, run.py and test_program.py in ./first
  meshlang run first            compile it and run it
  meshlang run first -p W=16 -p n=100
  cd first && pytest            its test (pip install pytest)

The files are a start to change: a row of W PEs, each of which computes y = a x + y on its part of two vectors.
`meshlang examples` has larger programs.
"""
TEMPLATE = Path(__file__).parent / "template"
FILES = ("layout.csl", "pe.csl", "run.py", "test_program.py")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="NAME", help="folder to make; one that is there must be empty")


def execute(args: argparse.Namespace) -> int:
    from meshlang import files
    from meshlang.diag import Diagnostic, MeshlangError

    from .examples import unwritable

    folder = Path(args.folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise MeshlangError(
            Diagnostic(
                "MS1500",
                f"{folder} is there already, and not an empty folder: nothing was written",
                help="name a new folder",
            ),
            exit_code=2,
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from None
    for name in FILES:
        files.write_bytes(folder / name, (TEMPLATE / name).read_bytes())
    print(f"{folder}: {', '.join(FILES)}")
    print(f"now: meshlang run {folder}")
    return 0
