"""docs/optimiser.md from the passes: `python tests/optimise/reference.py docs/optimiser.md` writes it anew.

Every pass shows one example: the code of a function without the pass and with it, all other passes on.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))

from compiling import compile_files

from meshlang.ir.listing import instruction
from meshlang.ir.program import Program
from meshlang.optimise import PASSES, optimise

# pass: (module, function or None for the module's own text, example)
EXAMPLES: dict[str, tuple[str, str | None, str]] = {
    "inline": ("inline", None, "var n: i16;\nfn twice(x: i16) i16 { return x + x; }\nfn main() void { n = twice(n); }"),
    "evaluate": (
        "loops",
        "evaluate",
        "var n: u32;\nfn main() void { var r: u32 = 1; for (@range(u16, 200)) |i| { r = r * 3 + @as(u32, i); } n = r; }",
    ),
    "values": (
        "values",
        None,
        "var n: u16; var a: [8]u16;\nfn main() void { const i = n % 8; a[i] = a[i] / 10; }",
    ),
    "overwritten": (
        "stores",
        "overwritten",
        "var x: f32; var v: f32;\nfn main() void { v = x * x; v += x; }",
    ),
    "branches": (
        "branches",
        None,
        "var n: i16; var m: i16;\nfn main() void { var both = false; if (n > 3) { both = m > 3; } if (both) { n = 0; } }",
    ),
    "dead": (
        "dead",
        None,
        "var n: i16;\nfn main() void { var sum: i16 = 0; for (@range(i16, n)) |i| { sum += i; n = i; } }",
    ),
    "unroll": ("loops", "unroll", "var a: [3]i16;\nfn main() void { for (@range(i16, 3)) |i| { a[i] = i; } }"),
    "rotate": (
        "loops",
        "rotate",
        "var n: u16; var a: [100]u16;\nfn main() void { for (@range(u16, n)) |i| { a[i] += i; } }",
    ),
    "promote": (
        "stores",
        "promote",
        "var n: u16; var sum: i16; var a: [100]i16;\nfn main() void { const m = n % 100; for (@range(u16, m)) |i| { sum += a[i]; } }",
    ),
    "invariants": (
        "invariants",
        None,
        "var n: u16; var k: i16; var a: [100]i16;\nfn main() void { const d = k; for (@range(u16, n)) |i| { a[i] = d * 5; } }",
    ),
    "arms": (
        "branches",
        "arms",
        "var n: i16; var m: i16;\nfn main() void { m = if (n > 3) 5 else 2; }",
    ),
    "moves": (
        "dead",
        "moves",
        "var x: f32; var v: [8]f32;\nconst d = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{8} -> v[i] });\nfn main() void { @fmovs(d, x * x); }",
    ),
}

HEAD = """# The optimiser

`meshlang run`, `check` and `cslc` optimise the code of tile programs; `-O0` turns it off, `-O1` is the default (`optimise=0` and `1` of
`meshlang.compile`). Memory, outputs and faults with their source lines are the same at both levels, bit for bit; the number of instructions is not,
and so neither are cycles. `meshlang check --listing` shows the optimised code, with `-O0` the code as the analysis emits it.

Functions are optimised one by one, each after those it calls, and once for all tile programs in which it is the same, but
for constants such as coordinates (`variants.py`). The passes are files of
`meshlang/optimise`; the code between them is in the instruction set of `ir/isa.py`. First every value gets a register of its own (`webs.py`), last
values that are never needed at the same time share one again (`registers.py`). What a function that was expanded was is kept for every instruction:
messages, breakpoints and profiles name it and its call.

`python tests/optimise/gain.py` measures what the optimiser gives: instructions executed and time of programs of csl-examples at both
levels; with `--compile` what it costs: processor time of the compilation of every folder of `programs/`.

A multiplication by a power of two stays one instruction, and costs what a shift costs (`scalar.alu` of the timing profile).

What is not done: memory is never reordered but by `overwritten` and `promote`, where nothing can see it. A load leaves a loop only if its rounds are
counted, since a loop may be waiting for what an operation in the background writes. At a breakpoint in a loop, a variable that `promote` keeps in a
register has in memory the value from before the loop; `-O0` shows every store. Where a program can unmask floating-point exceptions, float
operations stay where they are.
"""


def listing(program: Program) -> list[str]:
    """The instructions of `main`."""
    tile = program.tiles[0]
    at = next(f.entry for f in tile.functions if f.name == "main")
    ends = [f.entry for f in tile.functions if f.entry > at]
    return [f"{pc - at:>3}  {instruction(tile, pc)}".rstrip() for pc in range(at, min(ends, default=len(tile.code)))]


def text_of(module: str, function: str | None) -> str:
    found = importlib.import_module(f"meshlang.optimise.{module}")
    doc = (getattr(found, function) if function else found).__doc__ or ""
    return "\n".join(line.removeprefix("    ") if function else line for line in doc.strip().splitlines())


def section(name: str, folder: Path) -> str:
    module, function, source = EXAMPLES[name]
    program = compile_files(folder, {"pe.csl": source}, optimise=0)
    every = frozenset(PASSES)
    before, after = listing(optimise(program, every - {name})), listing(optimise(program, every))
    width = max(map(len, before))
    rows = [
        f"{a:<{width}}  |  {b}".rstrip()
        for a, b in zip(
            before + [""] * (len(after) - len(before)), after + [""] * (len(before) - len(after)), strict=True
        )
    ]
    body = "\n".join(rows)
    return f"## {name}\n\n{text_of(module, function)}\n\n```csl\n{source}\n```\n\nWithout the pass, and with it:\n\n```\n{body}\n```\n"


def page() -> str:
    out = [HEAD]
    for name in PASSES:
        with tempfile.TemporaryDirectory() as folder:
            out.append(section(name, Path(folder)))
    return "\n".join(out)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
