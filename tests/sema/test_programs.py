"""What a layout becomes: shared tile programs, colors, tasks, queues, symbols, memory; and the shape of the code."""

import numpy as np
import pytest
from compiling import compile_files

from meshlang.ir.isa import Op
from meshlang.ir.program import EAST, RAMP, WEST


def ops(tile, name: str) -> list[str]:
    """The operations of one function."""
    at = sorted(f.entry for f in tile.functions)
    entry = next(f.entry for f in tile.functions if f.name == name)
    end = next((e for e in at if e > entry), len(tile.code))
    return [Op(int(w) & 0xFF).name for w in tile.code[entry:end, 0]]


def test_equal_parameters_share_a_tile_program(tmp_path):
    program = compile_files(
        tmp_path,
        {
            "top.csl": """
layout {
  @set_rectangle(4, 3);
  for (@range(i16, 3)) |y| {
    for (@range(i16, 4)) |x| {
      if (y == 2) { @set_tile_code(x, y, "idle.csl"); }
      else { @set_tile_code(x, y, "pe.csl", .{ .first = x == 0, .n = @as(u16, 1 + y * 0) }); }
    }
  }
}""",
            "pe.csl": "param first: bool; param n: u16; var row: [n]f32; task t() void { row[0] = if (first) 1.0 else 2.0; }\n"
            "comptime { @bind_local_task(t, @get_local_task_id(8)); @activate(@get_local_task_id(8)); }",
            "idle.csl": "task nothing(x: u16) void { }",
        },
    )
    assert program.fabric.tile.tolist() == [[0, 1, 1, 1], [0, 1, 1, 1], [2, 2, 2, 2]]
    assert [t.params for t in program.tiles] == [{"first": "true", "n": "1"}, {"first": "false", "n": "1"}, {}]
    assert [t.active for t in program.tiles] == [1 << 8, 1 << 8, 0]
    assert len({t.name for t in program.tiles}) == 3
    assert len(program.tiles[2].functions) == 0


@pytest.mark.parametrize("call", ["(x, 0)", '(x, 0, "one.csl")', '(x, 0, "one.csl", .{ .n = x })'])
def test_a_program_in_one_file(tmp_path, call):
    """The layout's file is the code of its PEs: what it imports binds tasks on them, not in the layout."""
    text = """
param n: u16 = 7;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 2, .height = 1 });
const sys = @import_module("<memcpy/memcpy>", memcpy.get_params(0));
const lib = @import_module("lib.csl", .{ .id = 9 });
fn main() void { @activate(lib.task_id); }
layout {
  @set_rectangle(2, 1);
  for (@range(u16, 2)) |x| { @set_tile_codeCALL; }
  @export_name("main", fn()void);
}
comptime { @export_symbol(main); }"""
    lib = """param id: u16; const task_id = @get_local_task_id(id); task end() void { }
comptime { @comptime_assert(id > 7); @bind_local_task(end, task_id); }"""
    program = compile_files(tmp_path, {"one.csl": text.replace("CALL", call), "lib.csl": lib})
    assert [t.params for t in program.tiles] == ([{"n": "0"}, {"n": "1"}] if ".n" in call else [{}])
    assert all([(b.id, b.name) for b in t.tasks] == [(9, "end")] for t in program.tiles)


def test_colors(tmp_path):
    program = compile_files(
        tmp_path,
        {
            "top.csl": """
const c = @get_color(3);
layout {
  @set_rectangle(3, 1);
  for (@range(u16, 3)) |x| { @set_tile_code(x, 0, "pe.csl", .{ .x = x }); }
  @set_color_config(0, 0, c, .{ .routes = .{ .rx = .{ RAMP }, .tx = .{ EAST } } });
  @set_color_config(1, 0, c, .{ .routes = .{ .rx = WEST, .tx = .{ RAMP, EAST } } });
  @set_color_config(2, 0, c, .{ .rx = .{ WEST }, .tx = .{ RAMP } });
}""",
            "pe.csl": """
param x: u16;
comptime { if (x == 1) { @set_local_color_config(@get_color(5), .{ .routes = .{ .rx = .{ RAMP }, .tx = .{ EAST } } }); } }""",
        },
    )
    f = program.fabric
    assert sorted(f.color) == [3, 5]
    got = [(f.configs[i].rx, f.configs[i].tx) for i in f.color[3][0]]
    assert got == [(1 << RAMP, 1 << EAST), (1 << WEST, 1 << RAMP | 1 << EAST), (1 << WEST, 1 << RAMP)]
    assert f.color[5].tolist()[0][0] == -1 and f.color[5].tolist()[0][1] == f.color[3].tolist()[0][0]  # interned


def test_routes_written_as_bits_of_directions(tmp_path):
    program = compile_files(
        tmp_path,
        {
            "top.csl": """
const d = @import_module("<directions>");
const Switches = struct { pos1: u16, pos2: u16, pos3: u16, ring_mode: bool };
const Config = struct { routes: u16, switches: Switches };
fn bits(from: direction, to: direction) Config {
  return Config{ .routes = d.dirToRxBits(from) | d.dirToTxBits(to) | d.TX_RAMP,
                 .switches = Switches{ .pos1 = d.TX_RAMP, .pos2 = d.dirToRxBits(RAMP), .pos3 = 0, .ring_mode = true } };
}
layout {
  @set_rectangle(1, 1);
  @set_tile_code(0, 0, "pe.csl");
  @set_color_config(0, 0, @get_color(1), bits(WEST, EAST));
  @set_color_config(0, 0, @get_color(2), .{ .routes = .{ .rx = .{WEST}, .tx = .{EAST, RAMP} },
    .switches = .{ .pos1 = .{ .tx = RAMP }, .pos2 = .{ .rx = RAMP }, .ring_mode = true } });
  @set_color_config(0, 0, @get_color(3), .{ .routes = d.RX_NORTH | d.TX_SOUTH | d.TX_WEST });
  @set_color_config(0, 0, @get_color(4), .{ .routes = .{ .rx = NORTH, .tx = .{WEST, SOUTH} } });
}""",
            "pe.csl": "",
        },
    )
    color = {c: program.fabric.configs[int(grid[0, 0])] for c, grid in program.fabric.color.items()}
    assert color[1] == color[2] and color[1].ring and len([p for p in color[1].positions if p]) == 3
    assert color[3] == color[4] and color[3].rx == 1 and color[3].tx == 2 | 8


def test_tasks_and_their_first_state(tmp_path):
    tile = compile_files(
        tmp_path,
        """
task receive(low: u16, high: u16) void { }
task whole(x: f32) void { }
task next() void { }
task later() void { }
task control(x: i16) void { }
comptime {
  @bind_data_task(receive, @get_data_task_id(@get_color(2)));
  @bind_data_task(whole, @get_data_task_id(@get_color(4)));
  @bind_local_task(next, @get_local_task_id(8));
  @bind_local_task(later, @get_local_task_id(25));
  @bind_control_task(control, @get_control_task_id(40));
  @activate(next); @block(next);
  @block(@get_color(4)); @unblock(@get_color(7)); @block(later); @unblock(later);
}""",
    ).tiles[0]
    assert {(t.id, t.kind, t.name, t.arg_types) for t in tile.tasks} == {
        (2, "data", "receive", ("u16", "u16")),
        (4, "data", "whole", ("f32",)),
        (8, "local", "next", ()),
        (25, "local", "later", ()),
        (40, "control", "control", ("i16",)),
    }
    assert tile.active == 1 << 8
    # colors without a data task start blocked, bound ids do not (facts 5.3); 8 is bound, so it is free until blocked by
    # hand
    colors = {c for c in range(24) if c not in (2, 7)}
    assert tile.blocked == sum(1 << i for i in colors)
    assert {(q.color) for q in tile.inputs} == {2, 4}


def test_queues_of_wse3_are_the_programs_own(tmp_path):
    tile = compile_files(
        tmp_path,
        """
task receive(x: u16) void { }
var a: [4]f32;
const out = @get_dsd(fabout_dsd, .{ .extent = 4, .output_queue = @get_output_queue(6) });
fn main() void { @fmovs(out, 1.0, .{ .async = true, .ut_id = @get_ut_id(4) }); }
comptime {
  @initialize_queue(@get_input_queue(3), .{ .color = @get_color(17) });
  @initialize_queue(@get_output_queue(6), .{ .color = @get_color(9) });
  @bind_data_task(receive, @get_data_task_id(@get_input_queue(3)));
}""",
        arch="wse3",
    ).tiles[0]
    assert [(q.id, q.color) for q in tile.inputs] == [(3, 17)] and [(q.id, q.color) for q in tile.outputs] == [(6, 9)]
    assert [(t.id, t.kind) for t in tile.tasks] == [(3, "data")]
    assert tile.blocked & 0xFF == 0xFF & ~(1 << 3) and tile.blocked >> 8 == 0


def test_queues_of_wse2_are_bound_on_their_own(tmp_path):
    tile = compile_files(
        tmp_path,
        """
var a: [4]f32;
const m = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> a[i] });
const one = @get_dsd(fabin_dsd, .{ .extent = 4, .fabric_color = @get_color(1), .input_queue = @get_input_queue(2) });
const two = @get_dsd(fabin_dsd, .{ .extent = 4, .fabric_color = @get_color(5) });
const same = @get_dsd(fabin_dsd, .{ .extent = 2, .fabric_color = @get_color(5) });
const out = @get_dsd(fabout_dsd, .{ .extent = 4, .fabric_color = @get_color(6) });
task t(x: u16) void { }
comptime { @bind_data_task(t, @get_data_task_id(@get_color(8))); }
fn main() void { @fmovs(m, one); @fmovs(m, two); @fmovs(m, same); @fmovs(out, m); }""",
    ).tiles[0]
    inputs = {q.color: q.id for q in tile.inputs}
    assert inputs[1] == 2 and sorted(inputs) == [1, 5, 8] and len(set(inputs.values())) == 3
    assert len(tile.outputs) == 1 and tile.outputs[0].color is None


def test_symbols(tmp_path):
    program = compile_files(
        tmp_path,
        {
            "top.csl": """
layout {
  @set_rectangle(1, 1);
  @set_tile_code(0, 0, "pe.csl");
  @export_name("data", [*]f32, true);
  @export_name("fixed", [*]u16, false);
  @export_name("n", i16, true);
  @export_name("start", fn(u16, f32)void);
}""",
            "pe.csl": """
var data: [4]f32; var p: [*]f32 = &data; const table = [2]u16 { 7, 8 }; const q: [*]u16 = @ptrcast([*]u16, &table); var n: i16 = -2;
fn launch(k: u16, x: f32) void { data[k] = x; }
comptime { @export_symbol(p, "data"); @export_symbol(n); @export_symbol(launch, "start"); }""",
        },
    )
    assert program.exports == {
        "data": ("[*]f32", True),
        "fixed": ("[*]u16", False),
        "n": ("i16", True),
        "start": ("fn(u16, f32)void", False),
    }
    e = program.tiles[0].exports
    assert {n: (x.kind, x.element, x.mutable, x.params) for n, x in e.items()} == {
        "data": ("pointer", "f32", True, ()),
        "n": ("var", "i16", True, ()),
        "start": ("fn", "", False, ("u16", "f32")),
    }
    image = program.tiles[0].image
    address = int.from_bytes(image[e["data"].address : e["data"].address + 2].tobytes(), "little")
    assert address == next(o.address for o in program.tiles[0].objects if o.name == "data")
    assert np.frombuffer(image[e["n"].address : e["n"].address + 2].tobytes(), np.int16)[0] == -2


def test_memory_holds_what_is_used_and_aligned(tmp_path):
    tile = compile_files(
        tmp_path,
        """
const S = struct { a: u8, b: u32, c: f16 };
var unused: [100]f32;
var byte: u8 = 3;
var wide: [3]f16 align(16) = [3]f16 { 1.0, -2.0, 0.5 };
var s = S { .a = 1, .b = 70000, .c = 1.5 };
var flags = [3]bool { true, false, true };
var f: *const fn()void = &main;
fn main() void { byte += 1; wide[0] = 2.0; s.b += 1; flags[0] = false; f(); }""",
    ).tiles[0]
    at = {o.name: o for o in tile.objects}
    assert "unused" not in at and at["wide"].address % 16 == 0 and at["s"].address % 4 == 0 and at["s"].size == 12

    def value(name, dtype, offset=0, count=1):
        start = at[name].address + offset
        return np.frombuffer(tile.image.tobytes(), dtype, count, start).tolist()

    assert value("wide", np.float16, count=3) == [1.0, -2.0, 0.5] and value("byte", np.uint8) == [3]
    assert (value("s", np.uint8), value("s", np.uint32, 4), value("s", np.float16, 8)) == ([1], [70000], [1.5])
    assert value("flags", np.bool_, count=3) == [True, False, True]
    assert tile.functions[value("f", np.uint16)[0]].name == "main"


@pytest.mark.parametrize(
    "body, want",
    [
        ("n = 2 * 3 + 1;", ["LDI", "ST", "RET"]),
        ("if (k == 4) { n = 1; } else { n = 2; }", ["LDI", "ST", "RET"]),
        ("const x = n; n = x + 5;", ["LD", "ADDI", "ST", "RET"]),
        ("var i: i16 = 0; while (i < 3) : (i += 1) { }", None),
        ("inline for (@range(i16, 3)) |i| { v[i] = i; }", ["ST", "LDI", "ST", "LDI", "ST", "RET"]),
        ("v[@as(u16, n)] = 1;", None),
        ("n = twice(n);", None),
        ("n = once(n);", ["LD", "MOV", "MULI", "MOV", "ST", "RET"]),
    ],
)
def test_the_shape_of_code(tmp_path, body, want):
    tile = compile_files(
        tmp_path,
        f"""
const k = 4; var n: i16; var v: [3]i16;
fn twice(x: i16) i16 {{ return x + x; }}
inline fn once(x: i16) i16 {{ return x * 7; }}
fn main() void {{ {body} }}""",
        optimise=0,
    ).tiles[0]
    got = ops(tile, "main")
    if want is not None:
        assert got == want
    assert (
        ("CALL" in got) == ("twice" in body)
        and ("CHK" in got) == ("v[@as" in body)
        and ("JMP" in got) == ("while" in body)
    )


def test_functions_are_specialised_per_known_argument(tmp_path):
    tile = compile_files(
        tmp_path,
        """
var n: i16; var f: f32;
fn add(comptime T: type, x: T, comptime k: T) T { return x + k; }
fn show(x: anytype) void { _ = x; }
fn main() void { n = add(i16, n, 1); n = add(i16, n, 1); n = add(i16, n, 2); f = add(f32, f, 1.0); show(n); show(f); show(n); }""",
        optimise=0,
    ).tiles[0]
    assert sorted(f.name for f in tile.functions) == ["add"] * 3 + ["main"] + ["show"] * 2


def test_recursion_is_noted(tmp_path):
    source = (
        "var n: u16;\nfn f(x: u16) u16 {{ if (x == 0) {{ return 1; }} return {call}; }}\nfn main() void {{ n = f(3); }}"
    )
    assert compile_files(tmp_path, source.format(call="x * f(x - 1)")).tiles[0].recursive
    assert not compile_files(tmp_path, source.format(call="x")).tiles[0].recursive
