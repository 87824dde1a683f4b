"""The optimiser: generated programs give the same at both levels; each pass does what its page shows; debugging in
expanded code."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "support"))
sys.path.insert(0, str(Path(__file__).parents[2]))

import reference
from compiling import compile_files
from reference_vm import ReferenceVM

from meshlang.ir.frames import function_name, inlined_at
from meshlang.ir.isa import Op, Ty
from meshlang.ir.verify import verify
from meshlang.optimise import PASSES, loops, optimise, registers
from meshlang.optimise.flow import Block, Code, Facts, Ins
from meshlang.optimise.numbers import CALL, LDI, RET, ST
from tests.fuzz.optimiser import FUNCTIONS, SAMPLE, Case, compare, compare_uncompiled

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("seed", range(4))
def test_generated_functions_give_the_same(seed, tmp_path):
    """The first on the reference interpreter, too, the last on several PEs, with vector operations."""
    assert compare(seed, tmp_path)[0] == FUNCTIONS


def test_generated_functions_give_the_same_on_the_uncompiled_engine(tmp_path):
    (seed,) = (seed for seed in range(SAMPLE) if Case(seed).uncompiled)
    assert compare_uncompiled([seed], tmp_path) == []


def test_a_division_that_is_never_reached(tmp_path):
    """Nothing is what passes both tests: no divisor is known there, and none is asked for its bounds."""
    source = "var n: u16; var m: u16;\nfn main() void { if (n < 5) { if (n > 7) { m = 100 / (n - 4); } else { m = m / (n + 1); } } }\n"
    program = compile_files(tmp_path, {"pe.csl": source}, optimise=0)
    tile = optimise(program).tiles[0]
    vm = ReferenceVM(tile)
    vm.call("main")
    assert vm.read("m")[0] == 0
    assert sum(int(w) & 0xFF == Op.DIV for w in tile.code[:, 0]) <= 2


def test_what_a_loop_leaves_is_looked_at_again(tmp_path, monkeypatch):
    """A pass says whether it has changed something: then the others run, and this one once more."""
    said = []
    evaluate = loops.evaluate
    monkeypatch.setattr(loops, "evaluate", lambda code: said.append(evaluate(code)) or said[-1])
    constant = "var r: u32 = 1; for (@range(u16, 200)) |i| { r = r * 3 + @as(u32, i); } n = r;"
    for body, expected in ((constant, [True, False]), (constant.replace("= 1;", "= n;"), [False])):
        said.clear()
        optimise(compile_files(tmp_path, {"pe.csl": f"var n: u32;\nfn main() void {{ {body} }}\n"}, optimise=0))
        assert said == expected


def test_calls_through_pointers_of_several_signatures(tmp_path):
    """A call through a pointer reads as many registers as any function has parameters, so also some that nothing has
    written: results that lie there afterwards are no arguments of the next call."""
    source = """
var n: i32; var f: *const fn()i32 = &seven; var g: *const fn(i32)i32 = &twice;
fn seven() i32 { return 7; }
fn twice(x: i32) i32 { return 2 * x; }
noinline fn three(a: i32, b: i32, c: i32) i32 { return a + 10 * b + 100 * c; }
noinline fn less(x: i32) i32 { return -x; }
fn main() void {
  const z = f();
  const a = less(5);
  const b = less(5);
  n = z + a + 10 * b + g(3) + three(1, 2, 3);
}
"""
    program = compile_files(tmp_path, {"pe.csl": source}, optimise=0)
    for p in (program, optimise(program)):
        vm = ReferenceVM(p.tiles[0])
        vm.call("main")
        assert vm.read("n")[0] == 7 - 5 - 50 + 6 + 321


def test_a_value_in_the_row_of_a_call_that_is_gone_has_a_register_of_its_own():
    """Below the rows of all calls that are left."""
    block, at = Block(), (None, -1)
    block.ins = [Ins(LDI, 0, r, r, 0, 0, at) for r in (1, 2, 3, 302, 331)]
    block.ins += [Ins(ST, Ty.U16, r, 0, 16 + 2 * n, 0, at) for n, r in enumerate((331, 1, 2, 3, 302))]
    block.ins += [Ins(CALL, 0, 0, 343, 0, 0, at), Ins(RET, 0, 0, 0, 0, 0, at)]
    facts = Facts([0], [0], 0, 0, [], [], 64, [], b"", False)
    code = Code("f", 0, 0, 400, [block], facts, windows=300, next=10)
    registers.run(code)
    loaded = [i.a for i in block.ins if i.op == LDI]
    assert min(loaded) > 0 and len(set(loaded)) == 5 and max(loaded) < code.frame


@pytest.mark.parametrize("off", PASSES)
def test_every_pass_can_be_left_out(off, tmp_path):
    source = reference.EXAMPLES[off][2]
    program = compile_files(tmp_path, {"pe.csl": source}, optimise=0)
    every = optimise(program)
    without = optimise(program, frozenset(PASSES) - {off})
    verify(every)
    verify(without)
    assert every.tiles[0].code.tolist() != without.tiles[0].code.tolist(), "the example shows nothing"


def test_the_page_is_what_the_passes_do():
    assert (ROOT / "docs" / "optimiser.md").read_text(encoding="utf-8") == reference.page()


SOURCE = """
var n: u16; var a: [4]u16;
fn inner(i: u16) u16 { return a[i]; }
fn outer(i: u16) u16 { return inner(i) + 1; }
fn main() void {
  n = outer(n + 7);
}
"""


def test_instructions_of_expanded_functions_keep_their_calls(tmp_path):
    tile = compile_files(tmp_path, {"pe.csl": SOURCE}).tiles[0]
    pc = next(i for i, w in enumerate(tile.code[:, 0]) if int(w) & 0xFF == Op.CHK)
    assert function_name(tile, pc) == "inner" and tile.spans[pc].line_col()[0] == 3
    assert [(f.name, f.span.line_col()[0]) for f in inlined_at(tile, pc)] == [("inner", 4), ("outer", 6)]
    assert not {"CALL", "CALLR"} & {Op(int(w) & 0xFF).name for w in tile.code[:, 0]}


MEMORY = """
var n: u16; var m: u16; var out: u16; var at: u16; var a: [8]u16; var p: [*]u16 = &a;
const queue = @get_output_queue(2);
const send = @get_dsd(fabout_dsd, .{ .extent = 1, .fabric_color = @get_color(4), .output_queue = queue });
fn main() void {
  if (n == 1) { %s }
  if (n == 2) { out = 5; }
}
comptime { if (@is_arch("wse3")) { @initialize_queue(queue, .{ .color = @get_color(4) }); } }
"""


@pytest.mark.parametrize(
    ("between", "loads"),
    [
        ("m = 3;", 1),
        ("if (m == 3) { m = 4; } else { out = 2; }", 1),
        ("n = 3;", 2),
        ("if (m == 3) { n = 4; }", 2),
        ("a[at] = 4;", 1),  # somewhere in another variable
        ("p[at] = 4;", 2),  # anywhere
        ("@mov16(send, m);", 2),  # time passes, and what runs in the background may write
        ("while (m != 3) { out = 2; }", 2),  # it may wait for what is written in the background
    ],
)
def test_memory_is_known_where_ways_meet(tmp_path, between, loads):
    tile = compile_files(tmp_path, {"pe.csl": MEMORY % between}, arch="wse3").tiles[0]
    place = next(o.address for o in tile.objects if o.name == "n")
    assert sum(int(w) & 0xFF == Op.LD and b == 0 and c == place for w, _, b, c in tile.code.tolist()) == loads


LOOP = """
var n: u16; var total: u16; var other: u16; var wide: u32; var at: u16; var a: [64]u16; var p: [*]u16 = &a;
const queue = @get_output_queue(2);
const send = @get_dsd(fabout_dsd, .{ .extent = 1, .fabric_color = @get_color(4), .output_queue = queue });
fn main() void { const rounds = n %% 64; for (@range(u16, rounds)) |i| { %s } }
comptime { if (@is_arch("wse3")) { @initialize_queue(queue, .{ .color = @get_color(4) }); } }
"""


@pytest.mark.parametrize(
    ("body", "stays"),
    [
        ("total += a[i];", False),
        ("total += a[i]; total ^= i;", False),
        ("if (a[i] > 3) { total += 1; } else { total += 2; }", False),  # stored on both ways
        ("if (a[i] > 3) { total = 1; } other += 1;", True),  # not in every round: what else may write it?
        ("total += p[i];", True),  # it may fault, and memory is seen
        ("total += a[i]; other = a[at];", True),  # it may fault
        ("total += a[i]; @mov16(send, other);", True),  # time passes
        ("total += a[i]; if (other == 4) { break; }", True),  # it may wait for what is written in the background
        ("total += 1; a[i] = total; if (a[5] == 4) { other = 3; }", False),
    ],
)
def test_a_variable_that_nothing_sees_stands_in_a_register_while_a_loop_runs(tmp_path, body, stays):
    program = compile_files(tmp_path, {"pe.csl": LOOP % body}, arch="wse3", optimise=0)
    tile = optimise(program).tiles[0]
    place = next(o.address for o in tile.objects if o.name == "total")
    code = tile.code.tolist()
    jumps = [(w[2], pc) for pc, w in enumerate(code) if w[0] & 0xFF in (Op.JZ, Op.JNZ) and w[2] < pc]
    inside = {pc for first, last in jumps for pc in range(first, last + 1)}
    stores = [pc for pc, w in enumerate(code) if w[0] & 0xFF == Op.ST and w[2] == 0 and w[3] == place]
    assert inside and stores and any(pc in inside for pc in stores) == stays


@pytest.mark.parametrize(
    ("code", "stores"),
    [
        ("total = n; total = other;", 1),
        ("total = n; other = total; total = at;", 1),  # what is loaded is known
        ("total = n; a[at] = 2; total = other;", 2),  # the index may fault, and memory is seen
        ("total = n; @mov16(send, other); total = other;", 2),
        ("total = n; other = p[0]; total = at;", 2),
        ("total = n; p[0] = 1; total = at;", 2),  # an address that may be outside
    ],
)
def test_a_store_is_left_out_if_nothing_sees_it(tmp_path, code, stores):
    source = LOOP.replace("const rounds = n %% 64; for (@range(u16, rounds)) |i| { %s }", "%s") % code
    tile = compile_files(tmp_path, {"pe.csl": source}, arch="wse3").tiles[0]
    place = next(o.address for o in tile.objects if o.name == "total")
    assert sum(w & 0xFF == Op.ST and b == 0 and c == place for w, _, b, c in tile.code.tolist()) == stores


COUNTED = """
var n: u16 = 2; var total: u16 = 1; var a = [8]u16{ 1, 2, 3, 4, 5, 6, 7, 8 };
fn sum(rounds: u16) void { %s }
fn main() void { sum(4); other(); }
noinline fn other() void { sum(n); }
"""


@pytest.mark.parametrize(
    ("body", "stays"),
    [
        ("for (@range(u16, rounds)) |i| { total += a[i]; }", False),
        ("for (@range(u16, rounds)) |i| { if (total > 9) { break; } total += a[i]; }", False),
        ("for (@range(u16, rounds)) |i| { if (a[i] == 3) { continue; } total += a[i]; }", False),
        ("var i: u16 = 0; while (true) { total += a[i]; i += 1; if (i == rounds) { break; } total ^= 3; }", False),
        ("var i: u16 = 0; while (i < rounds) { total += a[i & 7]; i += 1 + (n & 1); }", True),
        (
            "var i: u16 = 0; while (i < rounds) : (i += 1) { if (total == 4) { total = 5; i = 0; } total += a[i]; }",
            True,
        ),
    ],
)
def test_rounds_that_a_call_knows_are_known_in_the_expanded_function(tmp_path, body, stays):
    """There the loop has its test at the end of a round, or in the middle."""
    program = compile_files(tmp_path, {"pe.csl": COUNTED % body}, optimise=0)
    tile = optimise(program).tiles[0]
    verify(optimise(program))
    start = next(f.entry for f in tile.functions if f.name == "main")
    end = min((f.entry for f in tile.functions if f.entry > start), default=len(tile.code))
    code = tile.code.tolist()
    back = [w for pc, w in enumerate(code[start:end], start) if w[0] & 0xFF in (Op.JZ, Op.JNZ) and w[2] <= pc]
    assert bool(back) == stays
    before, after = ReferenceVM(program.tiles[0]), ReferenceVM(tile)
    before.call("main")
    after.call("main")
    assert bytes(before.memory) == bytes(after.memory)


@pytest.mark.parametrize("first", [0, 5])
def test_a_limit_that_is_loaded_behind_the_test_is_that_of_the_next_round(tmp_path, first):
    """No source gives such code; other passes may."""
    source = (
        "var total: u16; var n: u16;\nfn main() void { var i: u16 = 0; while (i < 3) { total += 1; i += 1; } n = i; }"
    )
    program = compile_files(tmp_path, {"pe.csl": source}, optimise=0)
    tile = program.tiles[0]
    (main,) = tile.functions
    total, n = (next(o.address for o in tile.objects if o.name == name) for name in ("total", "n"))
    words = [
        (Op.LDI, 1, 0, 0),
        (Op.LDI, 2, first, 0),
        (Op.LT, 3, 1, 2),
        (Op.LDI, 2, 3, 0),
        (Op.JZ, 3, 8, 0),
        (Op.ST | Ty.U16 << 8, 2, 0, total),
        (Op.ADDI | Ty.U16 << 8, 1, 1, 1),
        (Op.JMP, 2, 0, 0),
        (Op.ST | Ty.U16 << 8, 1, 0, n),
        (Op.RET, 0, 0, 0),
    ]
    assert main.entry == 0 and main.frame >= 4
    tile = replace(tile, code=np.array(words, np.int32), spans=tile.spans[: len(words)])
    program = replace(program, tiles=[tile])
    verify(program)
    optimised = optimise(program)
    before, after = ReferenceVM(tile), ReferenceVM(optimised.tiles[0])
    before.call("main")
    after.call("main")
    assert bytes(before.memory) == bytes(after.memory)


def test_of_two_ways_on_the_one_of_the_source_comes_first(tmp_path):
    source = "var n: u16; var a: u16; var b: u16;\nfn main() void { if (n == 1) { a = 1; } else { b = 1; } }"
    tile = compile_files(tmp_path, {"pe.csl": source}).tiles[0]
    place = {o.name: o.address for o in tile.objects}
    assert [c for w, _, b, c in tile.code.tolist() if w & 0xFF == Op.ST and b == 0] == [place["a"], place["b"]]


def test_functions_that_may_not_be_expanded_stay(tmp_path):
    source = SOURCE.replace("fn inner", "noinline fn inner")
    tile = compile_files(tmp_path, {"pe.csl": source}).tiles[0]
    assert [f.name for f in tile.functions] == ["main", "inner"]


def test_functions_in_a_circle_are_expanded_in_each_other(tmp_path):
    source = """
var n: u16; var a: u16; var b: u16;
fn first() void { if (n == 0) { return; } n -= 1; a += n; second(); }
fn second() void { b += a; third(); }
fn third() void { b ^= n; first(); }
fn main() void { first(); }
"""
    program = compile_files(tmp_path, {"pe.csl": source}, optimise=0)
    tile = optimise(program).tiles[0]
    verify(optimise(program))
    names = [f.name for f in tile.functions]
    assert "main" in names and len(names) == 2, "two of the circle are gone"
    ends = [f.entry for f in tile.functions[1:]] + [len(tile.code)]
    ring = next(range(f.entry, e) for f, e in zip(tile.functions, ends) if f.name != "main")
    assert sum(int(tile.code[pc, 0]) & 0xFF == Op.CALL for pc in ring) == 1
    assert {f.name for pc in ring for f in inlined_at(tile, pc)} | {tile.functions[1].name} == {
        "first",
        "second",
        "third",
    }


def test_a_payload_of_constants_is_a_constant(tmp_path):
    source = """
const ctrl = @import_module("<control>");
var got: u32;
fn main() void {
  got = ctrl.encode_payload(2, [2]ctrl.opcode{ ctrl.opcode.NOP, ctrl.opcode.SWITCH_ADV }, [2]bool{ true, false }, true, @get_control_task_id(40));
}
task c() void {}
comptime { @bind_control_task(c, @get_control_task_id(40)); }
"""
    tile = compile_files(tmp_path, {"pe.csl": source}, arch="wse3").tiles[0]
    at = next(f.entry for f in tile.functions if f.name == "main")
    assert [Op(int(w) & 0xFF).name for w in tile.code[at : at + 3, 0]] == ["LDI", "ST", "RET"]


def test_a_multiplication_by_a_power_of_two_costs_a_shift(tmp_path):
    from meshlang.fabric.tables import build_tables
    from meshlang.fabric.timing import load_profile
    from meshlang.ir.words import Instruction

    profile = load_profile("wse3")
    program = compile_files(
        tmp_path, {"pe.csl": "var n: i16; var m: i16;\nfn main() void { n = n * 8; m = m * 9; }"}, arch="wse3"
    )
    words = build_tables(program, profile).C.reshape(-1, 4)
    cost = {int(w[3]): int(Instruction.cost.get(w[0])) for w in words if w[0] & 0xFF == Op.MULI}
    assert cost == {8: profile["scalar.alu"], 9: profile["scalar.multiply"]}
