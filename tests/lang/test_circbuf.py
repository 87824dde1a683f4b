"""circbuf_dsd: round and round a buffer, as source and destination, in memory, over the fabric and in @map, with and
without save_address."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from compiling import compile_files
from hypothesis import given, settings
from hypothesis import strategies as st

import meshlang
from meshlang.diag import MeshlangError

LAYOUT = """const memcpy = @import_module("<memcpy/get_params>", .{ .width = 2, .height = 1 });
const a = @get_color(5);
layout {
  @set_rectangle(2, 1);
  for (@range(u16, 2)) |x| { @set_tile_code(x, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(x), .a = a, .x = x }); }
  @set_color_config(0, 0, a, .{ .routes = .{ .rx = .{RAMP}, .tx = .{EAST} } });
  @set_color_config(1, 0, a, .{ .routes = .{ .rx = .{WEST}, .tx = .{RAMP} } });
  @export_name("ring", [*]TYPE, true);
  @export_name("line", [*]TYPE, true);
  @export_name("main", fn()void);
}
"""
PE = """param memcpy_params; param a: color; param x: u16;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
var before = @zeros([4]TYPE);
var ring = @zeros([5]TYPE);
var after = @zeros([4]TYPE);
var line = @zeros([16]TYPE);
var ring_ptr: [*]TYPE = &ring;
var line_ptr: [*]TYPE = &line;
fn keep() void { before[0] = 0; after[0] = 0; }
const all = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{16} -> line[i] });
const oq = @get_output_queue(2);
const iq = @get_input_queue(2);
const out = @get_dsd(fabout_dsd, .{ .extent = 16, .fabric_color = a, .output_queue = oq });
const in = @get_dsd(fabin_dsd, .{ .extent = 16, .fabric_color = a, .input_queue = iq });
const x1 = @get_xdsr(1);
const to = @get_dsr(dsr_dest, 4);
const from = @get_dsr(dsr_src1, 4);
const done = @get_local_task_id(9);
task end() void { sys.unblock_cmd_stream(); }
comptime {
  @bind_local_task(end, done);
  @initialize_queue(iq, .{ .color = a });
  if (@is_arch("wse3")) { @initialize_queue(oq, .{ .color = a }); }
  @export_symbol(ring_ptr, "ring"); @export_symbol(line_ptr, "line"); @export_symbol(main);
}
"""
ARCHS = pytest.mark.parametrize("arch", ["wse2", "wse3"])


def start(folder, text: str, arch: str = "wse3", element: str = "u32"):
    (folder / "layout.csl").write_text(LAYOUT.replace("TYPE", element))
    (folder / "pe.csl").write_text((PE + text).replace("TYPE", element))
    program = meshlang.compile(folder / "layout.csl", arch=arch)
    program.save(folder / "out")
    return meshlang.load(folder / "out").start()


def run(
    folder, text: str, arch: str = "wse3", element: str = "u32", x: int = 0, ring=(1, 2, 3, 4, 5)
) -> tuple[list, list]:
    """ring and line of a PE after main, with the line 11, 12, ... on PE 0."""
    fabric = start(folder, text, arch, element)
    dtype = {"u32": np.uint32, "f16": np.float16}[element]
    fabric.write("ring", np.broadcast_to(np.array(ring, dtype), (1, 2, 5)).copy())
    line = np.zeros((1, 2, 16), dtype)
    line[0, 0] = np.arange(11, 27)
    fabric.write("line", line)
    fabric.launch("main")
    fabric.run()
    return fabric.read("ring")[0, x].tolist(), fabric.read("line")[0, x].tolist()


MOVE = {"u32": "@mov32", "f16": "@fmovh"}


@ARCHS
@pytest.mark.parametrize("element", ["u32", "f16"])
def test_a_source_goes_round(tmp_path, arch, element):
    """Twelve elements out of a ring of five."""
    _, line = run(
        tmp_path,
        f"""
fn main() void {{
  keep();
  @load_to_dsr_xdsr(from, x1, @get_dsd(circbuf_dsd, .{{ .base_address = &ring, .extent = 12 }}));
  _ = {MOVE[element]}(@set_dsd_length(all, 12), from);
  sys.unblock_cmd_stream();
}}
""",
        arch,
        element,
    )
    assert line == [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2, 23, 24, 25, 26]


@ARCHS
@pytest.mark.parametrize("element", ["u32", "f16"])
def test_a_destination_goes_round_a_part_of_its_buffer(tmp_path, arch, element):
    """Loaded before the start; the ring is the first four of five elements."""
    ring, _ = run(
        tmp_path,
        f"""
comptime {{ @load_to_dsr_xdsr(to, x1, @get_dsd(circbuf_dsd, .{{ .base_address = &ring, .extent = 6, .wraparound = 4 }})); }}
fn main() void {{ keep(); _ = {MOVE[element]}(to, @set_dsd_length(all, 6)); sys.unblock_cmd_stream(); }}
""",
        arch,
        element,
    )
    assert ring == [15, 16, 13, 14, 5]


@ARCHS
@pytest.mark.parametrize("save", [True, False])
def test_the_next_operation_goes_on_where_the_last_one_stopped(tmp_path, arch, save):
    """Three operations of three elements: with save_address they go on, in the destination and in the source."""
    text = """
const s0 = @get_dsr(dsr_src0, 4);
fn main() void {
  keep();
  @load_to_dsr_xdsr(from, x1, @get_dsd(circbuf_dsd, .{ .base_address = &ring, .extent = 3 }), .{ .save_address = SAVE });
  @load_to_dsr_xdsr(to, @get_xdsr(2), @get_dsd(circbuf_dsd, .{ .base_address = &line, .extent = 3, .wraparound = 7 }), .{ .save_address = SAVE });
  for (@range(u16, 3)) |_| { _ = @mov32(to, from); }
  sys.unblock_cmd_stream();
}
""".replace("SAVE", "true" if save else "false")
    _, line = run(tmp_path, text, arch)
    rest = list(range(18, 27))
    assert line == ([3, 4, 3, 4, 5, 1, 2] if save else [1, 2, 3, 14, 15, 16, 17]) + rest


@ARCHS
@pytest.mark.parametrize("asynchronous", [True, False])
def test_over_the_fabric(tmp_path, arch, asynchronous):
    """PE 0 sends eight elements out of its ring in two operations; PE 1 receives twelve into its own, seven of them
    from the line."""
    cfg, wait = (", .{ .async = true, .activate = done }", "") if asynchronous else ("", "sys.unblock_cmd_stream();")
    text = """
fn main() void {
  keep();
  if (x == 0) {
    @load_to_dsr_xdsr(from, x1, @get_dsd(circbuf_dsd, .{ .base_address = &ring, .extent = 4 }), .{ .save_address = true });
    _ = @mov32(out, from);
    _ = @mov32(out, from CFG);
  } else {
    @load_to_dsr_xdsr(to, x1, @get_dsd(circbuf_dsd, .{ .base_address = &ring, .extent = 8 }));
    _ = @mov32(to, @set_dsd_length(in, 8) CFG);
  }
  WAIT
}
""".replace("CFG", cfg).replace("WAIT", wait)
    ring, _ = run(tmp_path, text, arch, x=1)
    sent = [1, 2, 3, 4, 5, 1, 2, 3]
    assert ring == [sent[5], sent[6], sent[7], sent[3], sent[4]]


def test_an_endless_receive_keeps_the_newest_elements(tmp_path):
    ring, _ = run(
        tmp_path,
        """
fn main() void {
  keep();
  if (x == 0) { _ = @mov32(out, all); } else {
    @load_to_dsr_xdsr(to, x1, @get_dsd(circbuf_dsd, .{ .base_address = &ring, .extent = 0x7fff }));
    _ = @mov32(to, @set_dsd_length(in, 0x7fff), .{ .async = true });
  }
  sys.unblock_cmd_stream();
}
""",
        x=1,
    )
    assert ring == [26, 22, 23, 24, 25]


def test_in_map_and_in_arithmetic(tmp_path):
    """@map reads one ring and writes another, twice, and goes on; a sum of a ring and a vector in one operation."""
    ring, line = run(
        tmp_path,
        """
fn twice(v: u32) u32 { return 2 * v; }
const s0 = @get_dsr(dsr_src0, 4);
fn main() void {
  keep();
  @load_to_dsr_xdsr(from, x1, @get_dsd(circbuf_dsd, .{ .base_address = &ring, .extent = 3 }), .{ .save_address = true });
  @load_to_dsr_xdsr(to, @get_xdsr(2), @get_dsd(circbuf_dsd, .{ .base_address = &line, .extent = 3, .wraparound = 4 }), .{ .save_address = true });
  @map(twice, from, to);
  @map(twice, from, to);
  sys.unblock_cmd_stream();
}
""",
    )
    assert line[:5] == [10, 2, 6, 8, 15]
    assert ring == [1, 2, 3, 4, 5]


def test_a_reduction_and_an_operand_that_overlaps_itself(tmp_path):
    """Elements are taken in order: each one that is read has been written before, once the ring has gone round."""
    ring, line = run(
        tmp_path,
        """
const s0 = @get_dsr(dsr_src0, 4);
var total: f16 = 0.0;
fn main() void {
  keep();
  @load_to_dsr_xdsr(s0, x1, @get_dsd(circbuf_dsd, .{ .base_address = &ring, .extent = 7 }));
  @load_to_dsr_xdsr(to, @get_xdsr(2), @get_dsd(circbuf_dsd, .{ .base_address = &ring, .extent = 7 }));
  @faddh(to, s0, 1.0);
  @load_to_dsr_xdsr(from, x1, @get_dsd(circbuf_dsd, .{ .base_address = &ring, .extent = 10 }));
  @faddh(&total, 0.0, from);
  line[0] = total;
  sys.unblock_cmd_stream();
}
""",
        element="f16",
    )
    assert ring == [3, 4, 4, 5, 6] and line[0] == 44


def test_elements_of_another_width_are_a_fault(tmp_path):
    with pytest.raises(MeshlangError, match="MS0818"):
        run(
            tmp_path,
            """
fn main() void {
  keep();
  @load_to_dsr_xdsr(from, x1, @get_dsd(circbuf_dsd, .{ .base_address = &ring, .extent = 4 }));
  _ = @fmovh(@get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> halves[i] }), from);
  sys.unblock_cmd_stream();
}
var halves = @zeros([4]f16);
""",
        )


def test_a_dsr_in_use_is_not_loaded_again(tmp_path):
    with pytest.raises(MeshlangError, match="MS0829"):
        run(
            tmp_path,
            """
fn main() void {
  keep();
  if (x == 1) {
    @load_to_dsr_xdsr(to, x1, @get_dsd(circbuf_dsd, .{ .base_address = &ring, .extent = 8 }));
    _ = @mov32(to, in, .{ .async = true });
    @load_to_dsr_xdsr(to, x1, @get_dsd(circbuf_dsd, .{ .base_address = &ring, .extent = 4 }));
  }
  sys.unblock_cmd_stream();
}
""",
        )


def test_it_is_shown_in_words(tmp_path):
    from meshlang.inspect.query import dsd_text

    program = compile_files(
        tmp_path,
        {
            "pe.csl": """
var buffer: [6]f32;
const d = @get_dsr(dsr_dest, 1);
comptime { @load_to_dsr_xdsr(d, @get_xdsr(0), @get_dsd(circbuf_dsd, .{ .base_address = &buffer, .extent = 9, .wraparound = 5 })); }
fn main() void { @fmovs(d, 1.0); buffer[0] = 0.0; }
"""
        },
    )
    assert (
        dsd_text(program.tiles[0], program.tiles[0].dsr_init[0][1])
        == "circbuf from buffer[0], 9 elements of 4 bytes, around 5, next 0"
    )


RING = st.tuples(st.integers(1, 9), st.integers(0, 20), st.booleans())  # wraparound, extent, save_address


@settings(max_examples=40, deadline=None)
@given(RING, RING, RING, st.lists(st.integers(0, 3), min_size=1, max_size=4), st.booleans())
def test_against_a_model(to, one, two, moves, shared):
    """Additions of two rings into a third, and moves, in any lengths; all three may be the same buffer."""
    names = ("a", "a", "a") if shared else ("a", "b", "c")
    text = "".join(
        f"var {n} = [9]u16 {{ {', '.join(str(100 * i + k) for k in range(9))} }};\n" for i, n in enumerate("abc")
    )
    text += "var line = @zeros([27]u16); var line_ptr: [*]u16 = &line;\n"
    for i, (register, (wraparound, extent, save)) in enumerate(
        zip(("dsr_dest", "dsr_src0", "dsr_src1"), (to, one, two), strict=True)
    ):
        text += f"""const r{i} = @get_dsr({register}, 3);
comptime {{ @load_to_dsr_xdsr(r{i}, @get_xdsr({i}), @get_dsd(circbuf_dsd, .{{ .base_address = &{names[i]}, .extent = {extent},
  .wraparound = {wraparound} }}), .{{ .save_address = {str(save).lower()} }}); }}
"""
    body = "".join(("@add16(r0, r1, r2);", "@add16(r0, r1, 7);", "@mov16(r0, r2);", "@mov16(r0, 5);")[m] for m in moves)
    copy = "for (@range(u16, 9)) |k| { line[k] = a[k]; line[9 + k] = b[k]; line[18 + k] = c[k]; }"
    text += f"fn run() void {{ {body} {copy} sys.unblock_cmd_stream(); }}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (
            folder / "layout.csl"
        ).write_text("""const memcpy = @import_module("<memcpy/get_params>", .{ .width = 1, .height = 1 });
layout { @set_rectangle(1, 1); @set_tile_code(0, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(0) });
  @export_name("run", fn()void); @export_name("line", [*]u16, true); }
""")
        (folder / "pe.csl").write_text(
            'param memcpy_params; const sys = @import_module("<memcpy/memcpy>", memcpy_params);\n'
            + text
            + '\ncomptime { @export_symbol(run); @export_symbol(line_ptr, "line"); }'
        )
        with meshlang.compile(folder / "layout.csl").start() as fabric:
            fabric.launch("run")
            got = fabric.read("line", count=27)[0, 0].tolist()
    memory = {n: [100 * i + k for k in range(9)] for i, n in enumerate("abc")}
    at = [0, 0, 0]
    rings = (to, one, two)
    for m in moves:
        used = ((0, 1, 2), (0, 1), (0, 2), (0,))[m]
        sources = used[1:]
        length = next((rings[i][1] for i in (*sources, 0) if rings[i][1]), 1)
        for k in range(length):
            values = [memory[names[i]][(at[i] + k) % rings[i][0]] for i in sources]
            result = (sum(values) + (7 if m == 1 else 0)) & 0xFFFF if m < 2 else values[0] if m == 2 else 5
            memory[names[0]][(at[0] + k) % to[0]] = result
        for i in used:
            at[i] = (at[i] + length) % rings[i][0] if rings[i][2] else 0
    assert got == memory["a"] + memory["b"] + memory["c"]
