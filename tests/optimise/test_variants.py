"""Functions that differ in constants only are optimised once for all of them: the code is that of each for itself."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))
sys.path.insert(0, str(Path(__file__).parents[2]))

from compiling import compile_files
from reference_vm import ReferenceVM

from meshlang.ir.verify import verify
from meshlang.optimise import optimise, variants
from meshlang.optimise.driver import PASSES, Optimiser
from tests.fuzz.programs import Generator

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
