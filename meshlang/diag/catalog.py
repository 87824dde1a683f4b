"""The pages behind the codes: catalog.md, one `## CODE Title` section each, sorted by code.

Other packages may keep pages for their own codes in a catalog*.md of theirs; all are read.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_HEADING = re.compile(r"^## (MS\d{4}) +(.+?) *$", re.MULTILINE)


def page(code: str) -> str | None:
    """The Markdown of one code, heading included; None when there is no such code."""
    return _pages().get(code.strip().upper())


def titles() -> dict[str, str]:
    """Code -> short title, sorted by code."""
    return {code: _HEADING.match(text).group(2) for code, text in sorted(_pages().items())}  # type: ignore[union-attr]


@cache
def _pages() -> dict[str, str]:
    pages = {}
    for path in sorted(Path(__file__).parent.parent.glob("*/catalog*.md")):
        text = path.read_text(encoding="utf-8")
        found = list(_HEADING.finditer(text))
        ends = [m.start() for m in found[1:]] + [len(text)]
        pages.update({m.group(1): text[m.start() : end].strip() + "\n" for m, end in zip(found, ends)})
    return pages
