"""`%load_ext meshlang`: cells in CSL.

    %%csl program -p P=4 --arch wse3
    // FILE: layout.csl
    ...
    // FILE: pe.csl
    ...

compiles the cell and binds the program to a name (`program`, if none is given). A cell without a layout block keeps its files
for the cells that come.
"""

from __future__ import annotations

import argparse
import os
import shlex
from typing import Any

from meshlang.diag import Diagnostic, MeshlangError
from meshlang.host.api import CompiledProgram
from meshlang.host.api import compile as compile_program
from meshlang.host.values import name_values, number_or_text
from meshlang.syntax import ast
from meshlang.syntax.parser import parse_text
from meshlang.syntax.stream import split

_files: dict[str, str] = {}  # of cells without a layout


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise MeshlangError(
            Diagnostic("MS0905", f"%%csl: {message}", help="%%csl [NAME] [-p P=4] [--arch wse3] [-O 0]"), exit_code=2
        )


def _arguments(line: str) -> argparse.Namespace:
    parser = _Parser(prog="%%csl", add_help=False)
    parser.add_argument("name", nargs="?", default="program")
    parser.add_argument("-p", "--param", action="append")
    parser.add_argument("--arch")
    parser.add_argument("-O", dest="optimise", type=int)
    return parser.parse_args(shlex.split(line))


def cell(line: str, text: str) -> tuple[str, CompiledProgram | None]:
    """What the magic does: the name and the program, None where the cell had files only."""
    given = _arguments(line)
    if not given.name.isidentifier():
        raise MeshlangError(Diagnostic("MS0905", f"%%csl: {given.name!r} is no name for a program"), exit_code=2)
    files = split(text, "cell.csl")
    has_layout = False
    for path, source in files.items():
        has_layout |= any(isinstance(i, ast.LayoutBlock) for i in parse_text(source, path).items)
    if not has_layout:
        _files.update(files)
        return given.name, None
    params = {k: number_or_text(v) for k, v in name_values(given.param).items()}
    program = compile_program(sources={**_files, **files}, params=params, arch=given.arch, optimise=given.optimise)
    return given.name, program


def load_ipython_extension(shell: Any) -> None:
    """What `%load_ext meshlang` calls."""

    def csl(line: str, text: str) -> CompiledProgram | None:
        name, program = cell(line, text)
        if program is None:
            print(f"kept {', '.join(os.path.normpath(f) for f in split(text, 'cell.csl'))} for the cells that come")
            return None
        shell.user_ns[name] = program
        return program

    shell.register_magic_function(csl, magic_kind="cell", magic_name="csl")


def unload_ipython_extension(shell: Any) -> None:
    shell.magics_manager.magics["cell"].pop("csl", None)
