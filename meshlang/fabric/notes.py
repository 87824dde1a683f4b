"""What hardware would do without a word and the engine takes down (tolerated.py), as warnings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..diag import Diagnostic
from ..ir.program import TileProgram
from .engine import state as s
from .engine.faults import Fault
from .places import configured, place_of, span_of, task_name
from .report import OPERANDS, fault_words
from .unblocking import own_place
from .waiting import find_waiting
from .wording import wait_text

if TYPE_CHECKING:
    from .loaded import Loaded


@dataclass
class _Note:
    kind: int
    what: int
    line: int
    cycle: int
    pe: int
    task: int
    a: int
    b: int
    c: int
    count: int
    pes: int  # a bit for each PE
    tile: int
    span: Any


def read_notes(machine: Loaded) -> list[Diagnostic]:
    """The warnings so far: one for each source line and array, in the order in which they came first."""
    groups: dict[tuple[int, int, str], list[_Note]] = {}
    for note in _notes(machine):
        stray = note.kind in (s.N_READ, s.N_WRITE)
        # what tells notes of a kind and line apart: the array, or what is lost
        what = (
            _object_at(machine.program.tiles[note.tile], note.what).name
            if stray
            else ""
            if note.kind in (s.N_LENGTH, s.N_WIDTH)
            else str(note.what)
        )
        groups.setdefault((note.line, s.N_READ if stray else note.kind, what), []).append(note)
    strays = {line for line, kind, _ in groups if kind == s.N_READ}
    tell = {
        s.N_READ: _stray,
        s.N_LENGTH: _length,
        s.N_WIDTH: _width,
        s.N_LOST: _lost,
        s.N_UNHEARD: _unheard,
        s.N_UNBLOCKED: _unblocked,
    }
    return [
        tell[kind](machine, notes)
        for (line, kind, _), notes in groups.items()
        if kind != s.N_LENGTH or line not in strays
    ]


def left_over(machine: Loaded) -> list[Diagnostic]:
    """Wavelets that nobody has taken, in a machine that has come to rest (else none): MS0854, and MS0855 where the task
    for them is blocked."""
    W = machine.state.W
    if W[s.Globals.occ_r] or W[s.Globals.occ_c] or W[s.Globals.fault] or machine.commands_outstanding:
        return []
    out = []
    for group in find_waiting(machine):
        wait = group.wait
        if not wait.wavelets:
            continue
        pes = group.places() + (f" (first PE {group.pes[0]})" if len(group.pes) > 4 else "")
        notes = [f"color {wait.color}"] if wait.color is not None else []
        fabric = machine.program.fabric
        span = group.span
        if span is None and wait.color in fabric.color:
            x, y = group.pes[0]
            span = fabric.spans.get((wait.color, int(fabric.color[wait.color][y, x])))
        out.append(
            Diagnostic(
                "MS0855" if wait.blocked else "MS0854",
                f"when everything had come to rest, {pes}: {wait_text(wait)}",
                span,
                "warning",
                notes=notes,
                help=_LEFT_HELP[wait.blocked],
            )
        )
    return out


def lost(machine: Loaded) -> list[str]:
    """What was sent and found nobody, for those who wait for it."""
    found = [d for d in read_notes(machine) if d.code in ("MS0812", "MS0830")]
    return [f"{d.message} ({d.notes[0]})" for d in found[:4]]


# notes whose key names a source line
_WITH_LINE = (s.N_READ, s.N_WRITE, s.N_LENGTH, s.N_WIDTH)
_LEFT_HELP = {
    False: "sender and receiver disagree on the number of wavelets; what is left is taken by whoever receives on that color next",
    True: "unblock the id of the task when it may run, or do not send so much",
}


def _notes(machine: Loaded) -> list[_Note]:
    W = machine.state.W
    words = int(W[s.Globals.l0])
    out = []
    for i in range(int(s.NOTES)):
        r = int(W[s.Globals.notes]) + i * (s.Note.WORDS + words)
        record = s.Note.at(W, r)
        if not record["count"]:
            break
        about, tile = s.NoteKey.unpack(int(record["key"])), int(machine.state.tile_of[record["pe"]])
        pes = int.from_bytes(W[r + s.Note.WORDS : r + s.Note.WORDS + words].tobytes(), "little")
        out.append(
            _Note(
                about["kind"],
                about["what"],
                about["line"],
                **{name: int(record[name]) for name in ("cycle", "pe", "task", "a", "b", "c", "count")},
                pes=pes,
                tile=tile,
                span=machine.state.lines[about["line"]] if about["kind"] in _WITH_LINE else None,
            )
        )
    return out


def _object_at(tile: TileProgram, address: int) -> Any:
    return next(o for o in tile.objects if o.address == address)


def _stray(machine: Loaded, notes: list[_Note]) -> Diagnostic:
    """A vector that leaves its variable. If it is both read and written, the write is what matters."""
    note = next((n for n in notes if n.kind == s.N_WRITE), notes[0])
    tile = machine.program.tiles[note.tile]
    array = _object_at(tile, note.what)
    end = array.address + array.size
    first, last = (note.a - array.address) // note.c, (note.b - 1 - array.address) // note.c
    others = [
        o.name
        for o in tile.objects
        if o is not array
        and o.size
        and o.address < note.b
        and o.address + o.size > note.a
        and not (array.address <= o.address and o.address + o.size <= end)
    ]
    shown = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
    writes = note.kind == s.N_WRITE
    if writes:
        there = (
            f"{shown} {'is' if len(others) == 1 else 'are'} there, and may be overwritten"
            if others
            else "nothing else is there"
        )
    else:
        there = f"{shown} {'is' if len(others) == 1 else 'are'} there" if others else "nothing else is there"
    message = (
        f"the vector {'writes' if writes else 'reads'} elements {first} to {last} of {array.name} ({array.type}), which has "
        f"elements 0 to {array.size // note.c - 1}: {there}"
    )
    return Diagnostic(
        "MS0853" if writes else "MS0852",
        message,
        note.span,
        "warning",
        notes=_circumstances(machine, notes),
        help="check base address, length and stride; with --strict this is an error",
    )


def _length(machine: Loaded, notes: list[_Note]) -> Diagnostic:
    note = notes[0]
    found = _row(machine, notes, Fault.LENGTH, note.span, note.a, note.b, note.what)
    if note.c:
        found.notes.append(f"color {note.c - 1}")
    return found


def _width(machine: Loaded, notes: list[_Note]) -> Diagnostic:
    note = notes[0]
    message = (
        f"the operation works on {8 * note.b}-bit elements, and walks its {OPERANDS[note.what]}, a DSD of {8 * note.a}-bit "
        "elements, in its own steps"
    )
    return Diagnostic(
        "MS0871",
        message,
        note.span,
        "warning",
        notes=_circumstances(machine, notes),
        help="length and stride count elements of the operation; with --strict this is an error",
    )


def _lost(machine: Loaded, notes: list[_Note]) -> Diagnostic:
    note = notes[0]
    return _row(machine, notes, Fault.OFF_RECT, configured(machine, note.pe, note.a), note.a, note.b)


def _unheard(machine: Loaded, notes: list[_Note]) -> Diagnostic:
    note = notes[0]
    return _row(machine, notes, Fault.UNHEARD, configured(machine, note.pe, note.b), note.a, note.b)


def _unblocked(machine: Loaded, notes: list[_Note]) -> Diagnostic:
    note = notes[0]
    tile, base = machine.program.tiles[note.tile], machine.state.code_base[note.tile]
    places = (own_place(tile, at - base) for at in (note.a, note.b) if at >= 0)
    bound = (b.span for b in tile.tasks if b.id == note.task & 63 and (b.kind == "control") == (note.task >= 64))
    # where the library cannot be told from its caller, the task says more than the library's line
    span = next((s for s in (*places, *bound, span_of(machine, note.tile, note.a)) if s is not None), None)
    return _row(machine, notes, Fault.CMD_DOUBLE, span, 0, 0)


def _row(machine: Loaded, notes: list[_Note], fault: Fault, span: Any, a: int, b: int, c: int = 0) -> Diagnostic:
    """The warning for what is a fault in a strict run, in the same words."""
    words = fault_words(machine, fault, notes[0].pe, a, b, c)
    return Diagnostic(
        fault.code,
        fault.message.format_map(words),
        span,
        "warning",
        notes=_circumstances(machine, notes),
        help=fault.help.format_map(words) if fault.help else None,
    )


def _circumstances(machine: Loaded, notes: list[_Note]) -> list[str]:
    pes = 0
    for n in notes:
        pes |= n.pes
    first = min(notes, key=lambda n: n.cycle)
    lines = [f"first at {place_of(machine, first.pe)}, cycle {first.cycle}"]
    task = task_name(machine, first.tile, first.task)
    if task:
        lines.append(f"in {task}")
    times = max(n.count for n in notes)
    lines.append(f"{times} time{'s' if times > 1 else ''} on {pes.bit_count()} PE{'s' if pes.bit_count() > 1 else ''}")
    lines.append(f"tile program {machine.program.tiles[first.tile].name}")
    return lines
