"""`meshlang examples`: the programs that come with MeshLang, listed and copied."""

from __future__ import annotations

import argparse
import ast
from pathlib import Path

HELP = "list the programs that come with MeshLang, and copy them"
EXAMPLES = """\
examples:
  meshlang examples                             what there is
  meshlang examples copy hello                  a copy in ./hello
  meshlang run hello                            it runs as it is
  meshlang examples copy meshgemv gemv --to mine
  meshlang examples copy all --to programs      all of them
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action", nargs="?", choices=("list", "copy"), default="list", help="list (the default) or copy"
    )
    names = parser.add_argument("names", nargs="*", metavar="NAME", help="programs to copy; all: each of them")
    names.completer = lambda **_: [*summaries(), "all"]  # type: ignore[attr-defined]
    parser.add_argument("--to", metavar="FOLDER", default=".", help="where the copies go (default: the current folder)")


def summaries() -> dict[str, str]:
    """Name -> the first paragraph of its run.py's documentation, by name."""
    from meshlang.paths import programs_dir

    found = {}
    for script in sorted(programs_dir().glob("*/run.py")):
        text = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
        found[script.parent.name] = " ".join(text.partition("\n\n")[0].split())
    return found


def execute(args: argparse.Namespace) -> int:
    from meshlang.diag import Diagnostic, MeshlangError, usage_error

    known = summaries()
    if args.action == "list":
        if args.names:
            raise usage_error("examples list takes no names", help=f"meshlang examples copy {' '.join(args.names)}")
        _print_list(known)
        return 0
    if not args.names:
        raise usage_error("examples copy: which program?", help=f"one of {', '.join(known)}, or all")
    names = list(known) if args.names == ["all"] else list(dict.fromkeys(args.names))
    for name in names:
        if name not in known:
            raise unknown(name, list(known))
    folders = [Path(args.to) / name for name in names]
    there = [folder for folder in folders if folder.exists()]
    if there:
        raise MeshlangError(
            Diagnostic(
                "MS1500",
                f"{there[0]} is there already: nothing was copied",
                help="remove it, or name another folder with --to",
            ),
            exit_code=2,
        )
    _copy(names, folders)
    for folder in folders:
        print(f"{folder}: meshlang run {folder}")
    return 0


def unknown(name: str, known: list[str]) -> Exception:
    """MS1501, with what was likely meant."""
    from meshlang.diag import Diagnostic, MeshlangError, did_you_mean

    return MeshlangError(
        Diagnostic(
            "MS1501",
            f"there is no example {name!r}",
            notes=[f"there are {', '.join(known)}"],
            help=did_you_mean(name, known, "{}") or "`meshlang examples` says what each does",
        ),
        exit_code=2,
    )


def _print_list(known: dict[str, str]) -> None:
    import shutil
    import textwrap

    width = max(map(len, known))
    wide = shutil.get_terminal_size((110, 24)).columns
    for name, summary in known.items():
        lines = textwrap.wrap(summary, max(30, wide - width - 4)) or [""]
        print(f"  {name:<{width}}  {lines[0]}")
        for line in lines[1:]:
            print(f"  {'':<{width}}  {line}")
    print(f"\n{len(known)} programs; `meshlang examples copy NAME` puts a copy here, `meshlang run NAME` runs it")


def _copy(names: list[str], folders: list[Path]) -> None:
    import shutil

    from meshlang.paths import programs_dir

    for name, folder in zip(names, folders):
        try:
            shutil.copytree(programs_dir() / name, folder, ignore=shutil.ignore_patterns("__pycache__"))
        except OSError as error:
            raise unwritable(folder, error) from None


def unwritable(folder: Path, error: OSError) -> Exception:
    """MS1502."""
    from meshlang.diag import Diagnostic, MeshlangError

    reason = (error.strerror or str(error)).lower()
    return MeshlangError(
        Diagnostic("MS1502", f"cannot write {folder}: {reason}", help="name a folder that can be written")
    )
