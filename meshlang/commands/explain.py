"""`meshlang explain CODE`: the page of a diagnostic code."""

from __future__ import annotations

import argparse
import re

HELP = "what a diagnostic code means, why it happens and how to mend it"
EXAMPLES = """\
examples:
  meshlang explain MS0301       one code
  meshlang explain 301          the same
  meshlang explain              the list of all codes
"""

HEADING = re.compile(r"^#{1,4}\s*(MS\d{4})\b[:.\s]*(.*)$")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("code", nargs="?", help="for example MS0301; without it, the list of codes")


def catalog_pages() -> dict[str, tuple[str, str]]:
    """code -> (title, body) from every catalog.md of the package, in the order of their codes."""
    from meshlang.paths import PACKAGE
    pages: dict[str, tuple[str, str]] = {}
    for path in sorted(PACKAGE.glob("*/catalog*.md")):
        code, title, body = "", "", []
        for line in [*path.read_text(encoding="utf-8").splitlines(), "# MS0000"]:
            match = HEADING.match(line)
            if match:
                if code:
                    pages[code] = (title, "\n".join(body).strip())
                code, title, body = match[1], match[2].strip(), []
            elif re.match(r"^#{1,2}\s", line) and code:         # a chapter heading between pages ends a page
                pages[code] = (title, "\n".join(body).strip())
                code, body = "", []
            else:
                body.append(line)
    return dict(sorted(pages.items()))


def execute(args: argparse.Namespace) -> int:
    import difflib

    from meshlang.diag import Diagnostic, MeshlangError
    pages = catalog_pages()
    if args.code is None:
        for code, (title, _) in pages.items():
            print(f"{code}  {title}")
        return 0
    wanted = args.code.upper().removeprefix("MS")
    wanted = f"MS{wanted:0>4}"
    if wanted not in pages:
        near = difflib.get_close_matches(wanted, pages, n=3)
        raise MeshlangError(Diagnostic("MS0920", f"no diagnostic has the code {args.code!r}",
                                       help=(f"did you mean {', '.join(near)}? " if near else "")
                                       + "`meshlang explain` lists all codes"), exit_code=2)
    title, body = pages[wanted]
    print(f"{wanted}: {title}\n\n{body}" if title else f"{wanted}\n\n{body}")
    return 0
