"""What instructions cost: an in-order machine, and the evidence its numbers come from (docs/timing.md)."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))

from compiling import compile_files

import meshlang
from meshlang import llama
from meshlang.fabric import tables
from meshlang.fabric.issue import Costs
from meshlang.fabric.tables import build_tables, issue_costs, task_ends
from meshlang.fabric.timing import load_profile
from meshlang.ir.isa import Op
from meshlang.ir.words import OperationRow


@pytest.fixture
def costs(tmp_path):
    def of(source: str, name: str = "main") -> list[tuple[str, int]]:
        """Opcode and cycles of the instructions of a function."""
        tile = compile_files(tmp_path, {"pe.csl": source.replace(" fn ", "\nfn ")}, arch="wse3").tiles[0]
        profile = load_profile("wse3")
        found = Costs(profile).of(
            tile.code, tile.dsd_ops.tolist(), issue_costs(tile, profile).tolist(), task_ends(tile)
        )
        starts = sorted(f.entry for f in tile.functions) + [len(tile.code)]
        first = next(f.entry for f in tile.functions if f.name == name)
        end = starts[starts.index(first) + 1]
        return [(Op(int(tile.code[pc, 0]) & 0xFF).name, found[pc]) for pc in range(first, end)]

    return of


def test_two_loads_an_addition_and_a_store_take_seven_cycles(costs):
    code = costs("var a: i16; var b: i16; var c: i16; fn main() void { c = a + b; }")
    assert [op for op, _ in code] == ["LD", "LD", "ADD", "ST", "RET"]
    assert sum(cycles for op, cycles in code if op != "RET") == 7


def test_a_wait_is_filled_with_what_does_not_need_it(costs):
    one = "var a: i16; var b: i16; var c: i16; fn main() void { c = a + b; }"
    two = "var a: i16; var b: i16; var c: i16; var x: i16; var y: i16; fn main() void { c = a + b; x = y; }"
    alone, both = (sum(cycles for _, cycles in costs(source)) for source in (one, two))
    assert both == alone + 1, "a load and a store, in three cycles of waiting and one more"


def test_floats_that_need_each_other_take_two_cycles_each(costs):
    source = "var a: f32; fn main() void { var x = a; x = x * x; x = x * x; x = x * x; a = x; }"
    # load, its wait of 3, three times 2, store
    assert sum(cycles for op, cycles in costs(source) if op != "RET") == 1 + 3 + 3 * 2 + 1


DSD = """
var v = @zeros([32]f32); var p: [*]f32 = &v;
var d = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{8} -> v[i] });
const c = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{8} -> v[i] });
const r = @get_dsr(dsr_dest, 1);
fn main() void { %s }
"""


def test_an_edit_of_a_dsd_in_memory_writes_one_word(costs):
    code = costs(DSD % "d = @set_dsd_base_addr(d, p);")
    assert [(op, n) for op, n in code[:-1] if n] == [("LD", 1), ("DBASE", 4)], (
        "the pointer, and its word after the wait"
    )
    code = costs(DSD % "d = @increment_dsd_offset(d, 2, f32);")
    assert [op for op, n in code[:-1] if n] == ["LD", "DINC", "ST"]


def test_a_dsr_waits_for_the_dsd_that_was_stored(costs):
    def loading(code: str) -> int:
        return sum(cycles for op, cycles in costs(DSD % code) if op != "RET")

    known = loading("@load_to_dsr(r, c);")
    assert known == load_profile("wse3")["scalar.dsr_load"]
    assert loading("@load_to_dsr(r, d);") == known
    stored = loading("d = @increment_dsd_offset(d, 2, f32);")
    assert loading("d = @increment_dsd_offset(d, 2, f32); @load_to_dsr(r, d);") > stored + known


def test_a_call_before_a_return_is_a_jump(costs):
    source = "var a: i16; noinline fn f() void { a += 1; } fn main() void { f(); }"
    profile = load_profile("wse3")
    assert costs(source) == [("CALL", profile["scalar.call"]), ("RET", 0)]


def test_the_return_of_a_task_is_an_issue_and_that_of_a_function_a_jump(costs):
    source = """
param memcpy_params;
var a: u16;
const local = @get_local_task_id(9); const queue = @get_input_queue(2);
noinline fn f() void { a += 1; a ^= 5; }
fn main() void { f(); a += 1; }
task t() void { a += 1; }
task d(x: u16) void { a += x; }
comptime {
  @bind_local_task(t, local); @bind_data_task(d, @get_data_task_id(queue));
  @initialize_queue(queue, .{ .color = @get_color(4) });
}
"""
    profile = load_profile("wse3")
    last = {name: costs(source, name)[-1] for name in ("f", "main", "t", "d")}
    assert last["f"] == ("RET", profile["scalar.ret"])
    assert last["main"] == last["t"] == last["d"] == ("RET", profile["task.leave"])


def test_a_branch_waits_for_its_comparison(costs):
    back = "var n: u16; var a: [64]u16; fn main() void { const m = n % 64; for (@range(u16, m)) |i| { a[i] = 3; } }"
    profile = load_profile("wse3")
    code = costs(back)
    assert code[-3][0] == "LT" and code[-2][0] == "JNZ"
    # an increment, a comparison, its latency, and a taken branch: 9 to 10 were measured
    assert 1 + code[-3][1] + code[-2][1] + profile["scalar.taken"] in (9, 10)


def test_what_a_branch_tests_is_computed_before_what_can_wait(costs):
    source = "var n: u16; var a: u16; fn main() void { n += 1; a = 3; a = a + n; if (n == 5) { a = 2; } }"
    branch = next(n for op, n in costs(source) if op in ("JZ", "JNZ"))
    assert branch < load_profile("wse3")["scalar.branch"] + load_profile("wse3")["scalar.latency.test"] - 1


def test_a_map_costs_its_beginning_and_no_counting(costs):
    source = """
var v = @zeros([8]f32); var n: u16;
const d = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{8} -> v[i] });
fn f(x: f32) void { if (x > 0.0) { n += 1; } }
fn main() void { @map(f, d); }
"""
    code = costs(source)
    profile = load_profile("wse3")
    assert [n for op, n in code if op == "DCOUNT"] == [profile["scalar.map"]]
    assert code[-2] == ("JNZ", 0), "its way back"


def test_integers_of_32_bits_are_worked_on_half_by_half(costs):
    def ops(kind: str) -> dict[str, int]:
        code = costs(f"var a: {kind}; fn main() void {{ var x = a; x = x ^ 3; x = x + x; a = x; }}")
        return {op: cycles for op, cycles in code if op in ("XOR", "ADD")}

    assert sum(ops("u32").values()) == sum(ops("u16").values()) + 2


def test_a_register_of_the_configuration_space_is_loaded_like_memory(costs):
    source = """
const config = @import_module("<tile_config>").color_config;
fn main() void { config.reset_routes(@get_color(4), .{ .rx = WEST, .tx = EAST }); }
"""
    code = [(op, cycles) for op, cycles in costs(source) if cycles and op != "RET"]
    late = load_profile("wse3")["scalar.latency.load"]
    # read, wait, change, write
    assert code[0] == ("SYS", 1) and code[-1] == ("SYS", 1)
    assert sum(cycles for _, cycles in code) == late + len(code) - 1


def forgetful(profile) -> Costs:
    """Costs that remember no block."""

    class Forgetful(dict):
        def get(self, key, default=None):
            return default

    costs = Costs(profile)
    costs.known = Forgetful()
    return costs


def test_blocks_that_are_alike_but_for_what_is_around_them():
    """A return behind a call, one that ends a task and one that does neither; a loop and the same that goes elsewhere; two
    operations."""
    call, ret, jz, jmp, inc, op, load = (int(o) for o in (Op.CALL, Op.RET, Op.JZ, Op.JMP, Op.DINC, Op.DSDOP, Op.DSRLD))
    words = [[call, 0, 1, 0], [ret, 0, 0, 0], [jz, 1, 4, 0], [ret, 0, 0, 0], [ret, 0, 0, 0]]
    words += [[load, 1, 2, 0], [inc, 2, 2, 3], [jmp, 5, 0, 0]]  # round and round
    words += [[load, 1, 2, 0], [inc, 2, 2, 3], [jmp, 0, 0, 0]]
    words += [[op, 0, 4, 0], [ret, 0, 0, 0], [op, 1, 4, 0], [ret, 0, 0, 0]]
    for arch in ("wse2", "wse3"):
        profile = load_profile(arch)
        rest = [[0] * OperationRow.WORDS] * 2, [3, 9], {4}
        code = np.array(words, np.int32)
        found = Costs(profile).of(code, *rest)
        assert found == forgetful(profile).of(code, *rest)
        assert len({found[1], found[3], found[4]}) == 3 and found[5:8] != found[8:11] and found[13] - found[11] == 6


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_blocks_that_are_alike_cost_the_same(arch, monkeypatch):
    """What a block costs is remembered by all that it depends on: costs are the same if it is not."""
    programs, profile = Path(__file__).resolve().parents[2] / "programs", load_profile(arch)
    small = llama.Placement(llama.LlamaConfig(16, 2, 2, 8, 16), 3, 4, capacity=2)
    for name, params in (("meshgemm", {}), ("allreduce", {}), ("decoder", small.params())):
        program = meshlang.compile(programs / name / "layout.csl", arch=arch, params=params).ir
        quick = build_tables(program, profile).C
        with monkeypatch.context() as patch:
            patch.setattr(tables, "Costs", forgetful)
            assert np.array_equal(build_tables(program, profile).C, quick), name
