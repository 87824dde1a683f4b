"""The words of a command line: rectangles, numbers, `@ PLACE`, conditions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from . import conditions as c
from . import expressions, names
from .mistakes import mistake

if TYPE_CHECKING:
    from meshlang.fabric.machine import Machine

Region = tuple[int, int, int, int]
PLACE = re.compile(r"^(?:all|-?\d*(?::-?\d*)?,-?\d*(?::-?\d*)?)$")
_NEEDS = {
    "cycle": "cycle 500",
    "task": "task NAME",
    "wavelet": "wavelet COLOR",
    "change": "change NAME[INDEX] @ X,Y",
    "line": "line FILE:LINE",
}
_FORM = "a place is X,Y, or X0:X1,Y0:Y1 with the ends not included, or all"


def region(machine: Machine, text: str) -> Region:
    """ "2,1", "0:4,2", ":,0", "all" -> x, y, w, h."""
    text = text.strip().replace(" ", "")
    if text == "all":
        return 0, 0, machine.width, machine.height
    parts = text.split(",")
    if not PLACE.match(text) or len(parts) != 2 or "" in parts:
        raise mistake(f"{text!r} is no place on the fabric", help=_FORM)
    x0, x1 = _span(parts[0], machine.width, "columns", text)
    y0, y1 = _span(parts[1], machine.height, "rows", text)
    return x0, y0, x1 - x0, y1 - y0


def _span(part: str, size: int, what: str, text: str) -> tuple[int, int]:
    first, colon, last = part.partition(":")
    if not colon:
        start, end = int(first), int(first) + 1
    else:
        start, end = int(first) if first else 0, int(last) if last else size
    if start < 0 or end > size or start >= end:
        why = (
            "is empty"
            if start >= end and 0 <= start <= size
            else f"is outside: the rectangle has {what} 0 to {size - 1}"
        )
        raise mistake(f"{text!r} {why}", help=_FORM)
    return start, end


def pes(where: Region) -> list[tuple[int, int]]:
    x, y, w, h = where
    return [(i, j) for j in range(y, y + h) for i in range(x, x + w)]


def split_place(text: str) -> tuple[str, str | None]:
    """ "A[3] + x @ 2,1" -> ("A[3] + x", "2,1")."""
    head, at, tail = text.rpartition("@")
    if at and PLACE.match(tail.strip().replace(" ", "")):
        return head.strip(), tail.strip()
    if at and not re.match(r"^[A-Za-z_]", tail):  # `@name` is a builtin, not a place
        raise mistake(f"{tail.strip()!r} is no place on the fabric", help=_FORM)
    return text.strip(), None


def whole_number(text: str, what: str, least: int = 0) -> int:
    if not text.strip():
        raise mistake(f"{what} is missing")
    try:
        value = int(text.replace(",", "").replace("_", ""), 0)
    except ValueError:
        raise mistake(f"{what} should be a whole number, not {text!r}") from None
    if value < least:
        raise mistake(f"{what} should be at least {least}, not {value}")
    return value


def color(machine: Machine, text: str) -> int:
    known = names.colors_of(machine)
    number = whole_number(text.removeprefix("color").strip() or text, "a color")
    if number not in known:
        raise mistake(
            f"no router has a route for color {number}",
            help=f"colors of the program: {', '.join(map(str, known)) or 'none'}",
        )
    return number


def condition(machine: Machine, text: str, command: str = "") -> c.Condition:
    """What `run until`, `break` and `watch` take; see conditions.py. `command`: what the user wrote before it, for the
    help of a mistake."""
    text = text.strip()
    body, place = split_place(text)
    where = region(machine, place) if place is not None else (0, 0, machine.width, machine.height)
    word, _, rest = body.partition(" ")
    rest = rest.strip()
    if word in _NEEDS and not rest and not any(o.name == word for tile in machine.program.tiles for o in tile.objects):
        raise mistake(f"`{word}` alone is no condition", help=f"write for example {_NEEDS[word]}")
    if word == "cycle" and rest:
        return c.AtCycle(whole_number(rest, "a cycle"), where)
    if word == "line" or re.match(r"^[\w./-]+\.csl:\d+$", body):
        target = rest if word == "line" else body
        file, colon, number = target.rpartition(":")
        if not colon:
            raise mistake(f"{target!r} is no line", help="write for example line pe.csl:12")
        return c.line_trap(machine, file, whole_number(number, "a line", 1), text, where)
    if word == "task" and rest:
        return c.task_trap(machine, rest, text, where)
    if word == "wavelet" and rest:
        return c.OnWavelet(color(machine, rest), text, where, machine)
    change = word == "change" and bool(rest)
    source = rest if change else body
    node = expressions.parse(source)
    if place is None and machine.width * machine.height > 1:
        raise mistake(
            f"on which PE should {source!r} be looked at?",
            help=f"add a place: {command + ' ' + source if command else text} @ 0,0",
        )
    for x, y in pes(where):
        expressions.evaluate(machine, x, y, node)  # unknown names are said now, not during the run
    return c.OnValue(source, lambda m, x, y: expressions.evaluate(m, x, y, node), text, where, change)
