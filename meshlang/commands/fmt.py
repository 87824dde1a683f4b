"""`meshlang fmt`: CSL files in one form."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

HELP = "format CSL files: blanks, indentation, comments; the program stays the same"
DESCRIPTION = """\
Put CSL files in one form. Blanks, indentation and the columns of comments are put in order; line breaks stay where you
put them, and no token changes. What stands between `// fmt: off` and `// fmt: on` is left alone.
"""
EXAMPLES = """\
examples:
  meshlang fmt layout.csl pe.csl        rewrite files that are not in form
  meshlang fmt .                        all .csl files below a folder
  meshlang fmt . --check                change nothing; exit code 1 if a file is not in form
  meshlang fmt . --diff                 show what would change
  generator | meshlang fmt --stdin      from standard input to standard output

exit codes: 0 fine, 1 a file cannot be read, or (--check, --diff) is not in form
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="*", metavar="PATH", help="files, or folders with .csl files")
    parser.add_argument("--check", action="store_true", help="change nothing, name the files that are not in form")
    parser.add_argument("--diff", action="store_true", help="change nothing, show the difference")
    parser.add_argument("--stdin", action="store_true", help="format standard input; PATH, if given, is its name")


def execute(args: argparse.Namespace) -> int:
    from meshlang import files
    from meshlang.diag import Diagnostic, MeshlangError, usage_error
    from meshlang.syntax.format import format_text
    from meshlang.syntax.parser import read_source

    from ._errors import print_diagnostics

    if args.stdin:
        text = sys.stdin.buffer.read().decode("utf-8-sig", errors="replace")
        path = args.paths[0] if args.paths else "<stdin>"
        formatted = format_text(text, path)
        if not (args.check or args.diff):
            sys.stdout.write(formatted)
            return 0
        return _report(path, text, formatted, args.diff)
    if not args.paths:
        raise usage_error("fmt: which files?", help="name files or folders, or --stdin")
    errors: list[Diagnostic] = []
    changed = total = 0
    for path in _files(args.paths):
        total += 1
        try:
            text = read_source(path).text
            formatted = format_text(text, str(path))
        except MeshlangError as error:
            errors += error.diagnostics
            continue
        if formatted == text:
            continue
        changed += 1
        if args.check or args.diff:
            _report(str(path), text, formatted, args.diff)
        else:
            files.write_text(path, formatted)
            print(f"formatted {path}")
    print_diagnostics(errors)
    word = "would be formatted" if args.check or args.diff else "formatted"
    print(f"{changed} of {total} file{'' if total == 1 else 's'} {word}", file=sys.stderr)
    return 1 if errors or (changed and (args.check or args.diff)) else 0


def _files(paths: list[str]) -> Iterator[Path]:
    """Each file once; folders are searched for .csl files."""
    from meshlang.diag import usage_error

    seen = set()
    for name in paths:
        path = Path(name)
        if path.is_dir():
            os.listdir(path)  # says what rglob passes over: that the folder may not be read
            found = sorted(path.rglob("*.csl"))
        else:
            found = [path]
        if not found:
            raise usage_error(f"fmt: no .csl file below {path}")
        for file in found:
            if file not in seen:
                seen.add(file)
                yield file


def _report(path: str, text: str, formatted: str, diff: bool) -> int:
    import difflib

    if text == formatted:
        return 0
    if diff:
        lines = difflib.unified_diff(text.splitlines(True), formatted.splitlines(True), path, f"{path} (formatted)")
        sys.stdout.writelines(
            line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines
        )
    else:
        print(f"would format {path}")
    return 1
