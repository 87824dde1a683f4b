"""docs/state.md, the page about the machine's state, from its declarations.

`python -m meshlang.fabric.reference FILE` writes it anew.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator

from .. import files
from ..ir.records import Packed, Record
from .engine import state as s

HEAD = """# The machine's state

What every word and bit of a loaded machine means. This page is written by `python -m meshlang.fabric.reference docs/state.md` from
the declarations in `meshlang/fabric/engine/state.py` and `meshlang/ir/words.py`, which is where to change something.

All state is in flat arrays, records one behind the other:

"""

BETWEEN = """
A column `at` counts words from the start of the record; a line across a table begins a cache line that is declared as one. The
engine knows an offset as `PREFIX_FIELD` (`P_TIME`), Python as `Pe.time`; `machine.pes["time"]` is the whole column, and
`machine.state` has views of the other records. `docs/architecture.md` says how a field is added.
"""

TIMES = """
## Timing numbers

All whole numbers of a timing profile stand in `Globals.times`, in the order of the profile: the engine reads `W[TIME_FABRIC_HOP]` for
`fabric.hop`. A new number is an entry in `meshlang/fabric/timing/*.toml` and the line that uses it.
"""


def page() -> str:
    """The page."""
    arrays = (s.__doc__ or "").split("\n\n")[2]
    lines = [HEAD + arrays, BETWEEN, "## Records"]
    for record in s.RECORDS:
        lines += ["", *_record(record)]
    lines += ["", "## Packed words"]
    for packed in s.PACKED:
        lines += ["", *_packed(packed)]
    return "\n".join(lines) + "\n" + TIMES


def _doc(declared: type) -> str:
    """What a class says of itself, a paragraph a line."""
    return "\n\n".join(" ".join(part.split()) for part in (inspect.getdoc(declared) or "").split("\n\n"))


def _record(record: type[Record]) -> Iterator[str]:
    yield f"### {record.__name__}"
    yield ""
    yield f"{_doc(record)}"
    yield ""
    size = "once" if record is s.Globals else f"{record.WORDS} words (`{record.SIZE}`)"
    yield f"In {record.ARRAY}; {size}; prefix `{record.PREFIX}_`."
    yield ""
    yield "| at | field | words | what |"
    yield "|---:|---|---:|---|"
    for name, field in record.FIELDS.items():
        if field.line and field > 0:
            yield "| | | | |"
        what = [field.doc] if field.doc else []
        if field.packed is not None:
            what.append(f"packed: {field.packed.__name__}")
        if field.part is not None:
            what.append(f"{field.count} of {field.part.__name__}")
        words = "each" if field is s.Globals.times else field.words
        yield f"| {int(field)} | `{name.rstrip('_')}` | {words} | {'; '.join(what)} |"


def _packed(packed: type[Packed]) -> Iterator[str]:
    yield f"### {packed.__name__}"
    yield ""
    yield f"{_doc(packed)}"
    yield ""
    yield f"Read by `{packed.NAME}_FIELD(word)`, set by `{packed.NAME}_with_FIELD(word, value)`."
    yield ""
    yield "| bits | field | what |"
    yield "|---|---|---|"
    for name, field in packed.FIELDS.items():
        last = field.first + field.width - 1
        where = str(field.first) if field.width == 1 else f"{field.first}-{last}"
        if field.count > 1:
            where += f", {field.count} times"
        yield f"| {where} | `{name}` | {field.doc}{' (signed)' if field.signed else ''} |"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        files.write_text(name, page())
