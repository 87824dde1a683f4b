"""Compiling small programs given as text, and chunked files of them.

A chunk is one small program. `//# file: NAME` lines split it into files; without them it is `pe.csl`. A chunk without a
layout block is put on one PE: a layout that advertises `main` (if the chunk has one) is added, so that `main` is
analysed.

Directives are comments at the end of the chunk:

    //! MS0302 7:12 does not fit        an error at line 7, column 12 of pe.csl (or the only file)
    //! MS0302 a.csl:7:12 does not fit  the same in another file
    //! MS0604 - PEs without code       an error without a place
    //! warning MS0216 3:1 no param     a warning
    //! + 1:7 first defined here        a second place of the diagnostic above
    //! = did you mean 'size'           its help or one of its notes
    //! arch: wse3                      options of the compilation
    //! params: n=4, name=text
    //! steps: 1000                     the limit of comptime loops
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshlang.diag import Diagnostic, MeshlangError
from meshlang.host.build import compile_program
from meshlang.ir.program import Program
from meshlang.sema.model.options import CompileOptions

LAYOUT = """layout {{
  @set_rectangle(1, 1);
  @set_tile_code(0, 0, "pe.csl");
{exports}}}
"""
ADVERTISE = '  @export_name("main", fn()void);\n'
_EXPECTED = re.compile(r"(?:(warning) )?(MS\d{4}) (?:(?:([\w./<>-]+):)?(\d+):(\d+)|-)(?: (.*))?$")
_LABEL = re.compile(r"\+ (?:([\w./]+):)?(\d+):(\d+) (.*)$")


@dataclass
class Expected:
    code: str
    severity: str
    file: str | None
    line: int | None
    column: int | None
    text: str
    labels: list[tuple[str | None, int, int, str]] = field(default_factory=list)
    trailers: list[str] = field(default_factory=list)


@dataclass
class Chunk:
    name: str
    files: dict[str, str]
    expected: list[Expected] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)


def parse_files(text: str) -> dict[str, str]:
    parts = re.split(r"^//# file: (\S+)\n", text, flags=re.MULTILINE)
    files = {"pe.csl": parts[0]} if parts[0].strip() else {}
    files.update(zip(parts[1::2], parts[2::2]))
    return files


def value(text: str) -> Any:
    """A parameter as the command line would read it."""
    try:
        return int(text, 0)
    except ValueError:
        return text


def read_chunks(path: Path) -> list[Chunk]:
    chunks = []
    for number, text in enumerate(re.split(r"^---.*\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE), 1):
        source = [line for line in text.splitlines(keepends=True) if not line.startswith("//!")]
        chunk = Chunk(f"{path.stem}-{number}", parse_files("".join(source)))
        for line in text.splitlines():
            if line.startswith("//!"):
                directive(chunk, line[3:].strip())
        first = next((e.code for e in chunk.expected), "ok")
        chunk.name += f"-{first}"
        chunks.append(chunk)
    return chunks


def directive(chunk: Chunk, text: str) -> None:
    if m := _EXPECTED.match(text):
        line, column = (int(m[4]), int(m[5])) if m[4] else (None, None)
        chunk.expected.append(Expected(m[2], m[1] or "error", m[3], line, column, m[6] or ""))
    elif m := _LABEL.match(text):
        chunk.expected[-1].labels.append((m[1], int(m[2]), int(m[3]), m[4]))
    elif text.startswith("= "):
        chunk.expected[-1].trailers.append(text[2:])
    elif text.startswith("arch:"):
        chunk.options["arch"] = text[5:].strip()
    elif text.startswith("steps:"):
        chunk.options["max_comptime_steps"] = chunk.options["max_inlined_iterations"] = int(text[6:])
    elif text.startswith(("params:", "colors:")):
        pairs = (p.split("=") for p in text[7:].split(","))
        chunk.options[text[:6]] = {n.strip(): value(v.strip()) for n, v in pairs}
    else:
        raise ValueError(f"{chunk.name}: cannot read the directive '{text}'")


def write_files(folder: Path, files: dict[str, str]) -> Path:
    """Write a program; the path of its top file."""
    files = dict(files)
    if not any(re.search(r"^\s*layout\s*\{", text, re.MULTILINE) for text in files.values()):
        pe = files["pe.csl"]
        has_main = re.search(r"^\s*(export )?fn main\(\)", pe, re.MULTILINE) is not None
        # one PE runs it; `main` is advertised, and thereby analysed. What is added stands behind the given lines.
        files["layout.csl"] = LAYOUT.format(exports=ADVERTISE if has_main else "")
        if has_main and "@export_symbol(main" not in pe:
            files["pe.csl"] = pe.rstrip("\n") + "\ncomptime { @export_symbol(main); }\n"
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    top = (
        "layout.csl"
        if "layout.csl" in files
        else next(n for n, t in files.items() if re.search(r"^\s*layout\s*\{", t, re.MULTILINE))
    )
    return folder / top


def compile_files(folder: Path, files: dict[str, str] | str, **options: Any) -> Program:
    top = write_files(folder, parse_files(files) if isinstance(files, str) else files)
    return compile_program(str(top), CompileOptions(**options))


def diagnostics(folder: Path, chunk: Chunk) -> list[Diagnostic]:
    """What the compiler says about a chunk: its errors, or the warnings of a program that compiles."""
    try:
        return compile_files(folder, chunk.files, **chunk.options).warnings
    except MeshlangError as e:
        return e.diagnostics


def place(span: Any) -> tuple[str, int, int] | None:
    return None if span is None else (Path(span.file.path).name, *span.line_col())


def as_directives(found: list[Diagnostic]) -> list[str]:
    """Diagnostics in the notation of chunks: what a failing test shows, ready to be checked and pasted."""
    lines = []
    for d in found:
        where = place(d.span)
        shown = (
            "-"
            if where is None
            else f"{where[1]}:{where[2]}"
            if where[0] == "pe.csl"
            else f"{where[0]}:{where[1]}:{where[2]}"
        )
        lines.append(f"//! {'' if d.severity == 'error' else d.severity + ' '}{d.code} {shown} {d.message}")
        for label in d.labels:
            where = place(label.span)
            shown = f"{where[1]}:{where[2]}" if where[0] == "pe.csl" else f"{where[0]}:{where[1]}:{where[2]}"
            lines.append(f"//! + {shown} {label.text}")
        lines += [f"//! = {t}" for t in (*d.notes, *([d.help] if d.help else []))]
    return lines


def matches(e: Expected, d: Diagnostic, default: str) -> bool:
    where = place(d.span)
    want = None if e.line is None else (e.file or default, e.line, e.column)
    if (e.code, e.severity, want) != (d.code, d.severity, where) or e.text not in d.message:
        return False
    for file, line, column, text in e.labels:
        if not any(place(lb.span) == (file or default, line, column) and text in lb.text for lb in d.labels):
            return False
    return all(any(t in found for found in (*d.notes, d.help or "")) for t in e.trailers)


def check(chunk: Chunk, found: list[Diagnostic]) -> None:
    """Exactly the expected diagnostics, in any order."""
    default = "pe.csl" if "pe.csl" in chunk.files else next(iter(chunk.files))
    left = list(found)
    missing = []
    for e in chunk.expected:
        hit = next((d for d in left if matches(e, d, default)), None)
        if hit is None:
            missing.append(e)
        else:
            left.remove(hit)
    if missing or left:
        raise AssertionError("found:\n" + "\n".join(as_directives(found) or ["(no diagnostics)"]))
