"""`meshlang lint --fix`: the findings that a mechanical change mends. Each change is tried: the program has to compile afterwards,
without that finding and without a new one, or it is taken back.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from meshlang import files
from meshlang.diag import Diagnostic, MeshlangError
from meshlang.ir.program import Program
from meshlang.paths import stdlib_dir

# compile and lint: the program, the compiler's warnings and lint's
Look = Callable[[], tuple[Program, list[Diagnostic], list[Diagnostic]]]

MOST = 200  # changes of one run
QUEUES = range(2, 8)  # ids to choose from: no library keeps these for itself
TASKS = range(8, 21)
_GET = re.compile(r"@get_(input_queue|output_queue|local_task_id)\(\s*(\d+)\s*\)")


@dataclass(frozen=True)
class Edit:
    """Replace text[start:end] of a file. All edits of one fix are made together."""

    path: Path
    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Fix:
    title: str
    edits: tuple[Edit, ...]


def fix_of(d: Diagnostic, program: Program) -> Fix | None:
    """The change that mends a finding, None where it takes thought."""
    if d.span is None:
        return None
    path = Path(d.span.file.path)
    text = d.span.file.text
    start, end = d.span.start, d.span.end
    if d.code == "MS0327":  # a value that is not used
        return Fix("assign it to _", (Edit(path, start, start, "_ = "),))
    if d.code == "MS0520":  # an old form
        name = re.match(r"write (@\w+)$", d.help or "")
        if name is not None and text.startswith("@bind_task", start):
            return Fix(f"write {name[1]}", (Edit(path, start, start + len("@bind_task"), name[1]),))
    if d.code in ("MS0414", "MS1016"):  # a number that memcpy keeps for itself
        return _another_number(path, text, text[start:end], program)
    return None


def _another_number(path: Path, text: str, marked: str, program: Program) -> Fix | None:
    """The queue or task id that is marked, or that a const names which is, gets a number that nothing has; everywhere in the
    file."""
    found = _GET.search(marked)
    for name in re.findall(r"\b[A-Za-z_]\w*\b", marked) if found is None else ():
        declared = re.search(rf"\bconst\s+{name}\b[^=;]*=\s*(@get_\w+\(\s*\d+\s*\))\s*;", text)
        found = declared and _GET.match(declared[1])
        if found:
            break
    if not found:
        return None
    kind, number = found[1], int(found[2])
    if kind == "local_task_id":
        free = set(TASKS) - set(program.fabric.color)
        free -= {b.id for tile in program.tiles for b in tile.tasks}
    else:
        # of either side: a queue's id is that of the microthread that operations on it run in
        free = set(QUEUES) - {q.id for tile in program.tiles for q in (*tile.inputs, *tile.outputs)}
    # what the file names without binding it is taken, too
    free -= {int(m[2]) for m in _GET.finditer(text) if (m[1] == "local_task_id") == (kind == "local_task_id")}
    if not free:
        return None
    new = min(free)
    edits = tuple(
        Edit(path, m.start(2), m.end(2), str(new)) for m in _GET.finditer(text) if (m[1], int(m[2])) == (kind, number)
    )
    return Fix(f"{kind.replace('_', ' ')} {number} becomes {new}", edits)


def fix_all(look: Look) -> list[tuple[Diagnostic, Fix]]:
    """Mend what can be; what was mended, and how. look: compiles the program as it stands in its files and gives its
    findings."""
    made: list[tuple[Diagnostic, Fix]] = []
    tried: set[tuple[str, str, str]] = set()
    program, *parts = look()
    found = [*parts[0], *parts[1]]
    while len(made) < MOST:
        chosen = None
        for d in found:
            key = (d.code, d.message, str(d.span))
            fix = fix_of(d, program) if key not in tried else None
            if fix is not None and not any(e.path.resolve().is_relative_to(stdlib_dir().resolve()) for e in fix.edits):
                tried.add(key)
                chosen = d, fix
                break
        if chosen is None:
            break
        d, fix = chosen
        before = {path: path.read_bytes() for path in {e.path for e in fix.edits}}
        _apply(fix, before)
        try:
            program_after, *parts = look()
            found_after = [*parts[0], *parts[1]]
        except MeshlangError:
            found_after = found
        if len(found_after) < len(found) and not _is_new(found, found_after):
            made.append((d, fix))
            program, found = program_after, found_after
        else:
            for path, content in before.items():
                with files.replacing(path) as out:
                    out.write(content)
    return made


def _is_new(before: list[Diagnostic], after: list[Diagnostic]) -> bool:
    """Is there a kind of finding more of which there are than before?"""
    codes = [d.code for d in before]
    return any([d.code for d in after].count(code) > codes.count(code) for code in {d.code for d in after})


def _apply(fix: Fix, before: dict[Path, bytes]) -> None:
    for path, content in before.items():
        text = content.decode("utf-8")
        # offsets are of the text without a byte order mark, as the parser reads it
        mark = "\ufeff" if text.startswith("\ufeff") else ""
        text = text.removeprefix(mark)
        for edit in sorted((e for e in fix.edits if e.path == path), key=lambda e: -e.start):
            text = text[: edit.start] + edit.text + text[edit.end :]
        with files.replacing(path) as out:
            out.write((mark + text).encode("utf-8"))
