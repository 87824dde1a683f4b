"""What compiled code depends on, as the key under which it is kept: a stale cache must be impossible.

The sources are found by following imports from the entry point: a file that the compiled code can reach is in the key,
and the many files beside it (reports, messages, the loader) are not, so that changing them costs nobody half a minute
of compiling.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

# Modules of declarations. What compiled code takes from them are numbers, and these are in the key (jit.py); their text,
# which is documentation for the most part, is not, and neither is what they import.
BY_VALUE = ("fabric/engine/faults.py", "fabric/engine/state.py", "ir/records.py")

# An import statement, wherever it stands; the names may be in brackets over several lines. (Text that only looks like
# one adds a file to the key, which does no harm. A test compares with Python's own reading.)
_IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+([.\w]+)[ \t]+import[ \t]+(\([^)]*\)|[^\n]*)|import[ \t]+([^\n]+))", re.M)
_COMMENT = re.compile(r"#[^\n]*")
_NAME = re.compile(r"[.\w]+")


def sources(entry: Path) -> list[Path]:
    """The files of this package that decide what a function in `entry` is compiled to: `entry` and all it imports, in
    turn, but for BY_VALUE. Sorted."""
    package = Path(__file__).resolve().parents[1]
    declarations = {package / name for name in BY_VALUE}
    found: set[Path] = set()
    todo = [entry]
    while todo:
        path = todo.pop()
        if path in found or path in declarations or not path.is_file():
            continue
        found.add(path)
        for module in _imported(path):
            todo += [module.with_suffix(".py"), module / "__init__.py"]
    return sorted(found)


def _imported(path: Path) -> Iterator[Path]:
    """Modules of this package that a file imports, as paths without ending. A name that is imported may be a module,
    too."""
    package = Path(__file__).resolve().parents[1]
    for place, names, plain in _IMPORT.findall(path.read_text(encoding="utf-8")):
        modules = (
            [place] if place else [found.group() for part in plain.split(",") if (found := _NAME.match(part.strip()))]
        )
        for module in modules:
            dots = len(module) - len(module.lstrip("."))
            parts = [p for p in module.split(".") if p]
            if dots:
                base = path.parents[dots - 1]
            elif parts[0] == package.name:
                base = package.parent
            else:
                continue
            base = base.joinpath(*parts)
            yield base
            for name in _NAME.findall(_COMMENT.sub("", names)):
                yield base / name


def key(entry: Path, depends_on: Iterable[str]) -> str:
    """Hash of the sources behind an entry point and of what else compiled code depends on (versions, processor)."""
    digest = hashlib.sha256()
    for path in sources(entry):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    for part in depends_on:
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:24]
