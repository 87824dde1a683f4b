"""The listing of a program, word for word; MESHLANG_UPDATE_GOLDEN=1 writes it anew."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import meshlang
from meshlang.ir.isa import Op, Role
from meshlang.ir.listing import instruction, listing, tile_listing

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))
from two_pes import MAIN, layout

PE = """\
param memcpy_params; param link: color; param sends: bool;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const q_in = @get_input_queue(2);
const q_out = @get_output_queue(3);
var v = [2]f32{ 1.0, 2.0 };
var n: i16 = 3;
const all = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{2} -> v[i] });
const out = @get_dsd(fabout_dsd, .{ .extent = 2, .fabric_color = link, .output_queue = q_out });
const in = @get_dsd(fabin_dsd, .{ .extent = 2, .fabric_color = link, .input_queue = q_in });
const done_id = @get_local_task_id(9);
task done() void { sys.unblock_cmd_stream(); }
fn main() void {
  if (sends) { @fmovs(out, all, .{ .async = true, .activate = done_id }); }
  else { @fadds(all, all, in, .{ .async = true, .activate = done_id }); }
}
comptime { @bind_local_task(done, done_id); @export_symbol(main); @initialize_queue(q_in, .{ .color = link }); }
"""
GOLDEN = Path(__file__).parent / "listing.txt"


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    folder = tmp_path_factory.mktemp("listing")
    (folder / "layout.csl").write_text(layout(MAIN))
    (folder / "pe.csl").write_text(PE)
    program = meshlang.compile(folder / "layout.csl", optimise=0).ir
    found = listing(program)
    assert all("\n".join(tile_listing(tile)) in found for tile in program.tiles)
    return found.replace(str(folder), "FOLDER")


def test_every_word(text):
    """Cells that are read from the program stand where they are found again: numbers, operands, places in the source."""
    if os.environ.get("MESHLANG_UPDATE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "op", [op for op in Op if op.row.types and all(w.role.is_register for w in op.words if w.role is not Role.UNUSED)]
)
def test_the_type_of_an_instruction(op):
    """Behind its name, whichever of those that it has."""
    for ty in op.row.types:
        tile = SimpleNamespace(code=np.array([[int(op) | int(ty) << 8, 1, 2, 3]]))
        assert instruction(tile, 0).split()[0] == f"{op.name.lower()}.{ty.name.lower()}"
