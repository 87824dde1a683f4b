"""Functions that differ in constants only are optimised once for all of them: the code is that of each for itself."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))
sys.path.insert(0, str(Path(__file__).parents[2]))

from compiling import compile_files
from reference_vm import ReferenceVM

from meshlang.ir.verify import verify
from meshlang.optimise import optimise, variants
from meshlang.optimise.driver import _Tile
from tests.fuzz.programs import Generator

EXPORTED = "comptime { @export_symbol(main); }\n"
PARAMS = ("k0", "k1", "k2")


class WithParams(Generator):
    """Some of the constants are params of the tile program."""

    def literal(self, t, most=1 << 40):
        if self.names and t in ("i16", "u16", "i32", "u32") and self.chance(0.3):
            return f"@as({t}, {self.pick(PARAMS)})"
        return super().literal(t, most)


def layout(tiles, names):
    places = "\n".join(
        f'  @set_tile_code({x}, 0, "pe.csl", .{{ {", ".join(f".{n} = {v}" for n, v in zip(PARAMS, values))} }});'
        for x, values in enumerate(tiles)
    )
    exports = "".join(f'  @export_name("{name}", fn()void);\n' for name in names)
    return f"layout {{\n  @set_rectangle({len(tiles)}, 1);\n{places}\n{exports}}}\n"


def code(tile):
    return (
        tile.code.tolist(),
        [(s.line_col() if s is not None else None) for s in tile.spans],
        [(f.name, f.entry, f.frame) for f in tile.functions],
        [(f.name, f.caller) for f in tile.inline_frames],
        tile.inlined.tolist(),
        tile.stack_registers,
    )


def filled(program):
    """How many functions were made of a template."""
    count = 0
    original = variants.Template.fill

    def fill(self, *arguments):
        nonlocal count
        found = original(self, *arguments)
        count += found is not None
        return found

    variants.Template.fill = fill
    try:
        return optimise(program), count
    finally:
        variants.Template.fill = original


TILES = [(0, 1, 5), (1, 1, 5), (2, 1, 5), (3, 1, 6), (7, 2, 9), (6, 3, 9), (300, 3, 9), (5, 255, 0)]


@pytest.mark.parametrize("seed", range(4))
def test_generated_functions_are_what_each_is_for_itself(seed, tmp_path):
    functions = 12
    names = [f"run{k}" for k in range(functions)]
    text = "".join(f"param {p}: i16;\n" for p in PARAMS) + WithParams(seed).program(functions)
    text += "\ncomptime {\n" + "".join(f"  @export_symbol({name});\n" for name in names) + "}\n"
    program = compile_files(tmp_path, {"layout.csl": layout(TILES, names), "pe.csl": text}, optimise=0)
    assert len(program.tiles) == len(TILES)
    together, count = filled(program)
    verify(together)
    assert count > 5
    for plain, one in zip(program.tiles, together.tiles):
        assert code(one) == code(optimise(replace(program, tiles=[plain])).tiles[0])


COORDINATES = """
param k0: i16; param k1: i16; param k2: i16;
var n: i16; var a: [8]i16;
fn turn(step: i16) i16 { return (k0 + step) % k2; }
fn main() void { n = turn(1); if (k1 == 0) { a[k0 & 7] = turn(n); } else { a[0] = k1 * 5 + turn(2) * 3; } }
"""


def test_tile_programs_that_differ_in_coordinates_are_optimised_as_few(tmp_path, monkeypatch):
    tiles = [(x, y, 200) for y in range(2) for x in range(1, 11)]
    program = compile_files(
        tmp_path, {"layout.csl": layout(tiles, ["main"]), "pe.csl": EXPORTED + COORDINATES}, optimise=0
    )
    runs = []
    passes = _Tile.passes
    monkeypatch.setattr(
        _Tile, "passes", lambda self, code, *rest: (runs.append(code.name), passes(self, code, *rest))[1]
    )
    together = optimise(program)
    verify(together)
    assert len(program.tiles) == 20 and runs.count("main") <= 6
    for plain, one in zip(program.tiles, together.tiles):
        assert code(one) == code(optimise(replace(program, tiles=[plain])).tiles[0])
        before, after = ReferenceVM(plain), ReferenceVM(one)
        before.call("main")
        after.call("main")
        assert bytes(before.memory) == bytes(after.memory)


def test_a_symbol_notes_what_is_asked_of_it():
    trace = variants.Trace()
    x, y = trace.input(3), trace.input(4)
    total = (x + 2 * y) << 1
    assert total == 22 and not x > y
    trace.close()
    values = trace.again([5, 3])
    assert values is None, "x > y holds there"
    assert trace.again([1, 5])[total.place] == 22
    assert trace.again([1, 6]) is None, "the sum was asked for"
    with pytest.raises(TypeError):
        x**2


def test_a_symbol_that_python_needs_as_a_number_keeps_its_value():
    trace = variants.Trace()
    x = trace.input(3)
    assert [10, 11, 12, 13][x] == 13
    trace.close()
    assert trace.again([3]) is not None and trace.again([2]) is None


def test_remainders_by_large_divisors(tmp_path):
    """A divisor of more than 31 bits is no word of an instruction."""
    text = "var n: u32 = 4294967290; var m: u32;\nfn main() void { m = n % 2147516417; n = n / 2147516417; }\n"
    program = compile_files(tmp_path, {"layout.csl": layout([()], ["main"]), "pe.csl": text + EXPORTED}, optimise=0)
    vm = ReferenceVM(optimise(program).tiles[0])
    vm.call("main")
    assert (vm.read("m")[0], vm.read("n")[0]) == (4294967290 % 2147516417, 1)
