"""The filters of `meshlang run --trace`, from text."""

from __future__ import annotations

import re

from meshlang.diag import Diagnostic, MeshlangError
from meshlang.fabric.recording import DEFAULT_GROUPS, GROUPS, NO_END, TraceOptions
from meshlang.host import arguments

# what the vendor's simulator calls them (SIMFABRIC_DEBUG, and the flags in the head of its sim.log)
SYNONYMS = {
    "inst_trace": "inst",
    "landing": "wavelet",
    "wavelets": "wavelet",
    "stalls": "stall",
    "router": "wavelet",
    "switch_positions": "switch",
    "tasks": "task",
    "ops": "op",
}
_RANGE = re.compile(r"(?:(\d+)?:(\d+)?|(\d+))$")


def trace_options(
    pes: str | None = None,
    colors: str | None = None,
    cycles: str | None = None,
    events: str | None = None,
    limit: int | None = None,
) -> TraceOptions:
    """What to record. None: all PEs, colors and cycles, and DEFAULT_GROUPS. MS1001 to MS1004."""
    for name, value in (("pes", pes), ("colors", colors), ("cycles", cycles), ("events", events)):
        if value is not None:
            arguments.text(value, name)
    if limit is not None:
        limit = arguments.whole(limit, "limit", 1)
    groups = DEFAULT_GROUPS if events is None else _groups(events)
    return TraceOptions(
        None if pes is None else tuple(_rectangle(part) for part in pes.split(";")),
        None if colors is None else _colors(colors),
        _cycles(cycles),
        groups,
        *(() if limit is None else (limit,)),
    )


def _mistake(code: str, message: str, help_: str) -> MeshlangError:
    return MeshlangError(Diagnostic(code, message, help=help_), exit_code=2)


def _range(text: str) -> tuple[int, int] | None:
    """`3`, `2:5`, `:5`, `2:` or `:` as a half-open range; None: neither, or empty."""
    found = _RANGE.match(text.strip())
    if found is None:
        return None
    if found[3] is not None:
        return int(found[3]), int(found[3]) + 1
    first, end = int(found[1] or 0), NO_END if found[2] is None else int(found[2])
    return (first, end) if first < end else None


def _rectangle(text: str) -> tuple[int, int, int, int]:
    ranges = [_range(part) for part in text.split(",")]
    if len(ranges) != 2 or ranges[0] is None or ranges[1] is None:
        raise _mistake(
            "MS1001",
            f"--trace-pes {text!r}: expected a rectangle of PEs, X0:X1,Y0:Y1",
            "the end is not included: 0:4,2:3 is the first four PEs of row 2; 5,2 is one PE; ; separates several",
        )
    return (*ranges[0], *ranges[1])


def _colors(text: str) -> frozenset[int]:
    out: set[int] = set()
    for part in text.split(","):
        found = _range(part)
        if found is None or found[1] > 32 and found[1] != NO_END or found[0] > 31:
            raise _mistake(
                "MS1002",
                f"--trace-colors {text!r}: {part.strip()!r} is no color",
                "colors are numbers from 0 to 31: 3 or 0,2,8:12",
            )
        out |= set(range(found[0], min(found[1], 32)))
    return frozenset(out)


def _cycles(text: str | None) -> tuple[int, int]:
    found = (0, NO_END) if text is None else _range(text) if ":" in text else None
    if found is None:
        raise _mistake(
            "MS1003",
            f"--trace-cycles {text!r}: expected a range of cycles, A:B",
            "the end is not included; 1000: is everything from cycle 1000 on",
        )
    return found


def _groups(text: str) -> tuple[str, ...]:
    chosen = set()
    for part in (p.strip().lower() for p in text.split(",")):
        name = SYNONYMS.get(part, part)
        if name == "all":
            chosen |= set(GROUPS)
        elif name in GROUPS:
            chosen.add(name)
        else:
            raise _mistake(
                "MS1004", f"--trace-events {text!r}: there are no events {part!r}", f"events: {', '.join(GROUPS)}, all"
            )
    return tuple(g for g in GROUPS if g in chosen)
