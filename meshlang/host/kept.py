"""Compiled programs that are kept: `build` compiles an unchanged program once.

What decides a program is known before it is compiled (the options, the versions) or learnt meanwhile (which files there
are, and what is in them). The first makes the name under which it is kept; the second is written into it, and looked at
again before it is used (sema/model/files.py). So a program is never stale: a file that has changed, that has come where
an import was looked for in vain, or that is there no more, has it compiled anew.

A file is a line of JSON, and program.json and program.npz as in a folder of `cslc`, read by the same reader: nothing in
it is executed, and the verifier looks at all of it. Beneath are owner, mode and digest of meshlang/cache.py.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshlang import cache
from meshlang.diag import MeshlangError
from meshlang.paths import PACKAGE, stdlib_dir
from meshlang.sema.model.files import Files, digest, unchanged
from meshlang.sema.model.options import CompileOptions

if TYPE_CHECKING:
    from meshlang.ir.program import Program

VARIABLE = "MESHLANG_KEEP_PROGRAMS"
ENTRY = "programs-1"  # the number is that of the form of a file
# what turns sources into programs: another version of it is another compiler
COMPILER = ("builtins", "diag", "ir", "optimise", "sema", "syntax", "host/build.py")
MOST_BYTES = 256 << 20  # of all programs together; one for 420 x 420 PEs takes about one million
LEAST_SECONDS = 0.05  # to compile: below, looking it up takes as long (docs/performance.md)


class Kept:
    """The place of one program: a path and its options."""

    def __init__(self, file: Path):
        self.file = file

    @classmethod
    def place(cls, path: str, options: CompileOptions) -> Kept | None:
        """None: this program is not kept. It is switched off, or the program is not trusted, or an option is no plain
        value."""
        if not options.cache or options.confined_to or os.environ.get(VARIABLE) == "0":
            return None
        name = _name(path, options)
        folder = cache.entry(ENTRY) if name is not None else None
        return cls(folder / name) if folder is not None and name is not None else None

    def load(self) -> tuple[Program, list[str]] | None:
        """The program, and what its comptime code printed; None: it has to be compiled."""
        data = cache.load(self.file)
        if data is None:
            return None
        from meshlang.ir.serial import unpack
        from meshlang.ir.verify import verify

        try:
            head, text, arrays = data.split(b"\n", 2)
            learnt = json.loads(head)
            if not unchanged(learnt["there"], learnt["digests"]):
                return None
            program = unpack(text.decode(), arrays, "a program of the cache")
            verify(program)
            printed = learnt["printed"]
        except (MeshlangError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            cache.discard(self.file)  # by another writer than `store`: made anew
            return None
        cache.used(self.file)
        return program, printed

    def store(self, program: Program, files: Files, printed: list[str], seconds: float) -> None:
        """Keep a program that took so many seconds to compile."""
        if seconds < LEAST_SECONDS:
            return
        from meshlang.ir.serial import pack

        learnt = {"there": files.there, "digests": files.digests, "printed": printed}
        text, arrays = pack(program)
        cache.store(self.file, b"\n".join((json.dumps(learnt).encode(), text.strip().encode(), arrays)))
        cache.shrink(self.file.parent, MOST_BYTES)


def _name(path: str, options: CompileOptions) -> str | None:
    """Of the file in the entry: a digest of all that is known before a program is compiled."""
    folders = [*map(os.fspath, options.import_paths), *filter(None, os.environ.get("CSL_IMPORT_PATH", "").split(":"))]
    known: dict[str, Any] = {
        f.name: getattr(options, f.name) for f in fields(options) if f.name not in ("cache", "import_paths")
    }
    # messages show paths as they were given; what they lead to depends on the current folder
    known["paths"] = [(given, os.path.abspath(given)) for given in (path, *folders)]
    known["stdlib"] = str(stdlib_dir())
    known["compiler"] = _compiler()
    values = [*options.params.values(), *options.colors.values()]
    if not all(type(v) in (bool, int, float, str) for v in values):
        return None
    return digest(repr(sorted(known.items())).encode("utf-8", "surrogatepass"))[:32]


@functools.cache
def _compiler() -> str:
    """Digest of the compiler's sources, and of what its results depend on besides."""
    import numpy as np

    found = hashlib.sha256(repr((sys.version, np.__version__)).encode())
    for name in COMPILER:
        place = PACKAGE / name
        for file in sorted(place.rglob("*") if place.is_dir() else [place]):
            if file.suffix in (".py", ".lark"):
                found.update(f"{file.relative_to(PACKAGE)}\0".encode() + file.read_bytes() + b"\0")
    return found.hexdigest()
