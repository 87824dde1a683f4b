"""What the machine lets pass: the run goes on as it would there, and is warned of what happened; a strict run stops."""

import re

import pytest
from compiling import write_files

import meshlang
from meshlang.diag import MeshlangError

LAYOUT = """
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 2, .height = 1 });
const c = @get_color(1);
layout {
  @set_rectangle(2, 1);
  for (@range(u16, 2)) |x| {
    @set_tile_code(x, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(x), .c = c, .sender = x == 0 });
  }
  @set_color_config(0, 0, c, .{ .routes = .{ .rx = .{ RAMP }, .tx = .{ EAST } } });
  @set_color_config(1, 0, c, .{ .routes = .{ .rx = .{ WEST }, .tx = .{ RAMP } } });
  @export_name("y", [*]u32, true);
  @export_name("main", fn()void);
}
"""
HEAD = """
param memcpy_params; param c: color; param sender: bool;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const control = @import_module("<control>");
const iq = @get_input_queue(4);
const oq = @get_output_queue(4);
const wse3 = @is_arch("wse3");
const data_id = @get_data_task_id(if (wse3) iq else c);
const out = @get_dsd(fabout_dsd, .{ .extent = 1, .fabric_color = c, .output_queue = oq });
const ctl = @get_dsd(fabout_dsd, .{ .extent = 1, .fabric_color = c, .output_queue = oq, .control = true });
const in = @get_dsd(fabin_dsd, .{ .extent = 4, .fabric_color = c, .input_queue = iq });
var y = @zeros([4]u32);
var y_ptr: [*]u32 = &y;
const to = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> y[i] });
comptime {
  @initialize_queue(iq, .{ .color = c });
  if (wse3) { @initialize_queue(oq, .{ .color = c }); }
  @export_symbol(y_ptr, "y"); @export_symbol(main);
}
"""
BOTH = pytest.mark.parametrize("arch", ["wse2", "wse3"])


def launched(folder, pe, arch, layout=LAYOUT, **options):
    """y of the PEs after main, and the warnings by code."""
    path = write_files(folder, {"layout.csl": layout, "pe.csl": HEAD + pe})
    fabric = meshlang.compile(path, arch=arch).start(max_cycles=100_000, **options)
    fabric.launch("main")
    fabric.run()
    return fabric.read("y")[0].tolist(), {w.code: w for w in fabric.warnings}


# ---------------------------------------------------------------- control wavelets


@BOTH
@pytest.mark.parametrize("blocked", [False, True])
def test_what_ends_a_receive_starts_its_control_task(tmp_path, arch, blocked):
    """... at once, or when the channel is unblocked."""
    y, warnings = launched(
        tmp_path,
        """
    const ended_id = @get_local_task_id(12);
    const stop_id = @get_control_task_id(41);
    fn main() void {
      if (sender) { @mov32(out, 5); @mov32(ctl, control.encode_single_payload(control.opcode.NOP, false, stop_id, 3)); sys.unblock_cmd_stream(); }
      else { @mov32(to, in, .{ .async = true, .on_control = .{ .activate = ended_id } }); }
    }
    task ended() void { y[1] += 1; BLOCKED }
    task stop(low: u16) void { y[2] += 1; y[3] = low; @block(if (wse3) iq else c); sys.unblock_cmd_stream(); }
    comptime { @bind_local_task(ended, ended_id); @bind_control_task(stop, stop_id); FREE }
    """.replace("BLOCKED", "@unblock(if (wse3) iq else c);" if blocked else "").replace(
            "FREE", "" if blocked else "@unblock(if (wse3) iq else c);"
        ),
        arch,
    )
    assert y == [[0] * 4, [5, 1, 1, 3]] and not warnings


@BOTH
def test_a_control_wavelet_for_no_task_is_gone_when_it_has_ended_a_receive(tmp_path, arch):
    """The next receive on that queue begins anew."""
    y, warnings = launched(
        tmp_path,
        """
    const again_id = @get_local_task_id(12); const done_id = @get_local_task_id(13);
    fn main() void {
      if (sender) {
        @mov32(out, 5); @mov32(ctl, control.encode_single_payload(control.opcode.NOP, false, {}, 0));
        @mov32(out, 6); @mov32(out, 7); @mov32(ctl, 50 << 16); sys.unblock_cmd_stream();
      } else { @mov32(to, in, .{ .async = true, .on_control = .{ .activate = again_id } }); }
    }
    task again() void { @mov32(to, in, .{ .async = true, .on_control = .{ .activate = done_id } }); }
    task done() void { sys.unblock_cmd_stream(); }
    comptime { @bind_local_task(again, again_id); @bind_local_task(done, done_id); }
    """,
        arch,
    )
    assert y == [[0] * 4, [6, 7, 0, 0]] and not warnings


ONE_TABLE = """
const local_id = @get_local_task_id(14);
fn main() void { if (sender) { @mov32(ctl, (@as(u32, NUMBER) << 16) | 5); } sys.unblock_cmd_stream(); }
task data(v: i16) void { y[0] += @as(u32, v); }
task local() void { y[1] += 1; }
comptime { @bind_data_task(data, data_id); @bind_local_task(local, local_id); MORE }
"""


@BOTH
def test_control_wavelets_start_the_task_of_their_id(tmp_path, arch):
    """Data, local and control tasks share one table of ids."""
    number = "4" if arch == "wse3" else "1"
    assert launched(tmp_path / "data", ONE_TABLE.replace("NUMBER", number).replace("MORE", ""), arch) == (
        [[0] * 4, [5, 0, 0, 0]],
        {},
    )
    assert launched(tmp_path / "local", ONE_TABLE.replace("NUMBER", "14").replace("MORE", ""), arch) == (
        [[0] * 4, [0, 1, 0, 0]],
        {},
    )


@BOTH
def test_a_blocked_local_task_keeps_its_control_wavelet(tmp_path, arch):
    y, warnings = launched(tmp_path, ONE_TABLE.replace("NUMBER", "14").replace("MORE", "@block(local_id);"), arch)
    assert y[1] == [0] * 4 and set(warnings) == {"MS0854"}
    assert "the first a control wavelet for local task local (id 14)" in warnings["MS0854"].message


def test_a_control_table_of_their_own(tmp_path):
    pe = ONE_TABLE.replace("comptime {", "comptime { @set_control_task_table();").replace("MORE", "")
    y, warnings = launched(tmp_path, pe.replace("NUMBER", "14"), "wse3")
    assert y[1] == [0] * 4 and set(warnings) == {"MS0830"}


@BOTH
def test_an_id_that_nothing_is_bound_to(tmp_path, arch):
    pe = ONE_TABLE.replace("MORE", "").replace("sys.", "if (sender) { @mov32(ctl, 50 << 16); } sys.")
    y, warnings = launched(tmp_path, pe.replace("NUMBER", "50"), arch)
    assert y[1] == [0] * 4 and set(warnings) == {"MS0830"}
    assert "color 1 is for task 50, and no task is bound to that id" in warnings["MS0830"].message
    assert "2 times on 1 PE" in warnings["MS0830"].notes and "@set_color_config(1, 0" in warnings["MS0830"].span.text()
    with pytest.raises(MeshlangError, match="MS0830"):
        launched(tmp_path, pe.replace("NUMBER", "50"), arch, strict=True)
    # 31 says that it is for no task
    assert launched(tmp_path, ONE_TABLE.replace("MORE", "").replace("NUMBER", "31"), arch)[1] == {}


# ---------------------------------------------------------------- routes that leave the rectangle

LINE = """
fn main() void {
  @mov32(out, 7); @mov32(out, 8);
  if (!sender) { @mov32(@set_dsd_length(to, 2), @set_dsd_length(in, 2)); }
  sys.unblock_cmd_stream();
}
"""


@BOTH
def test_what_leaves_the_rectangle_is_lost(tmp_path, arch):
    """The last PE of a line hands on what it gets, like all others; the hand-over to its own ramp goes on."""
    layout = LAYOUT.replace(".tx = .{ RAMP }", ".tx = .{ RAMP, EAST }")
    pe = LINE.replace("@mov32(out, 7); @mov32(out, 8);", "if (sender) { @mov32(out, 7); @mov32(out, 8); }")
    y, warnings = launched(tmp_path, pe, arch, layout)
    assert y == [[0] * 4, [7, 8, 0, 0]]
    assert set(warnings) == {"MS0812"} and "2 times on 1 PE" in warnings["MS0812"].notes
    assert "leaves PE (1, 0) to the EAST" in warnings["MS0812"].message
    with pytest.raises(MeshlangError, match="MS0812"):
        launched(tmp_path, pe, arch, layout, strict=True)


@BOTH
def test_senders_at_the_border_go_on(tmp_path, arch):
    """A halo exchange in which all PEs send to all sides: many wavelets, none held up, once for each direction."""
    layout = LAYOUT.replace(".rx = .{ WEST }, .tx = .{ RAMP }", ".rx = .{ RAMP }, .tx = .{ NORTH, SOUTH, EAST }")
    pe = """
    const many = @get_dsd(fabout_dsd, .{ .extent = 500, .fabric_color = c, .output_queue = oq });
    fn main() void { if (!sender) { @mov32(many, 1); y[0] = 1; } sys.unblock_cmd_stream(); }
    """
    path = write_files(tmp_path, {"layout.csl": layout, "pe.csl": HEAD + pe})
    fabric = meshlang.compile(path, arch=arch).start()
    fabric.launch("main")
    fabric.run()
    assert fabric.read("y")[0, 1, 0] == 1
    assert [(w.code, w.notes[1]) for w in fabric.warnings] == [("MS0812", "500 times on 1 PE")] * 3


# ---------------------------------------------------------------- the command stream


@BOTH
def test_the_command_stream_is_unblocked_again(tmp_path, arch):
    pe = """
    const later_id = @get_local_task_id(12);
    fn main() void { sys.unblock_cmd_stream(); sys.unblock_cmd_stream(); @activate(later_id); }
    task later() void { y[0] += 1; sys.unblock_cmd_stream(); }
    comptime { @bind_local_task(later, later_id); }
    """
    path = write_files(tmp_path, {"layout.csl": LAYOUT, "pe.csl": HEAD + pe})
    fabric = meshlang.compile(path, arch=arch).start()
    for _ in range(3):
        fabric.launch("main")
    fabric.run()
    assert fabric.read("y")[0, :, 0].tolist() == [3, 3]
    found = fabric.warnings
    assert [w.code for w in found] == ["MS0815"] * 2  # once for each task
    assert "3 times on 2 PEs" not in found[0].notes and "6 times on 2 PEs" in found[0].notes
    assert {n for w in found for n in w.notes if n.startswith("in ")} == {
        "in function main",
        "in local task later (id 12)",
    }
    assert all("unblock_cmd_stream" in w.span.text() or "task later" in w.span.text() for w in found)


@BOTH
def test_a_task_that_runs_by_itself_may_unblock(tmp_path, arch):
    pe = """
    const start_id = @get_local_task_id(12);
    fn main() void { y[1] = y[0]; sys.unblock_cmd_stream(); }
    task start() void { y[0] = 7; sys.unblock_cmd_stream(); }
    comptime { @bind_local_task(start, start_id); @activate(start_id); }
    """
    y, warnings = launched(tmp_path, pe, arch)
    assert y == [[7, 7, 0, 0]] * 2 and set(warnings) == {"MS0815"}


@BOTH
def test_a_command_that_nothing_ends(tmp_path, arch):
    """Every place that would is named, control tasks too, and the control wavelet that found no task."""
    pe = """
    const stop_id = @get_control_task_id(41);
    const later_id = @get_local_task_id(12);
    fn main() void { if (sender) { @mov32(ctl, 42 << 16); sys.unblock_cmd_stream(); } }
    task stop() void { sys.unblock_cmd_stream(); }
    task later() void { if (y[0] == 1) { sys.unblock_cmd_stream(); } }
    comptime { @bind_control_task(stop, stop_id); @bind_local_task(later, later_id); @unblock(if (wse3) iq else c); }
    """
    with pytest.raises(MeshlangError) as raised:
        launched(tmp_path, pe, arch)
    (d,) = raised.value.diagnostics
    assert (d.code, raised.value.exit_code) == ("MS0856", 3)
    line = HEAD.count("\n") + 5
    (places,) = (n for n in d.notes if "the command stream is unblocked" in n)
    assert f"control task stop (id 41) at pe.csl:{line}" in places
    assert f"local task later (id 12) at pe.csl:{line + 1}" in places and "function main" not in places
    assert any("a control wavelet of color 1 is for task 42, and no task is bound" in n for n in d.notes)


# ---------------------------------------------------------------- queues in several roles


def test_a_queue_of_two_colors(tmp_path):
    """WSE-2: the queue goes to the color of the operation that uses it, whatever it was initialised with."""
    layout = (
        LAYOUT.replace("  @export_name", "  for (@range(u16, 2, 4, 1)) |n| { route(n); }\n  @export_name", 1)
        + """
    fn route(n: u16) void {
      @set_color_config(0, 0, @get_color(n), .{ .routes = .{ .rx = .{ RAMP }, .tx = .{ EAST } } });
      @set_color_config(1, 0, @get_color(n), .{ .routes = .{ .rx = .{ WEST }, .tx = .{ RAMP } } });
    }
    """
    )
    pe = """
    const out2 = @get_dsd(fabout_dsd, .{ .extent = 1, .fabric_color = @get_color(2), .output_queue = oq });
    const out3 = @get_dsd(fabout_dsd, .{ .extent = 1, .fabric_color = @get_color(3), .output_queue = oq });
    const in2 = @get_dsd(fabin_dsd, .{ .extent = 1, .fabric_color = @get_color(2), .input_queue = iq });
    const in3 = @get_dsd(fabin_dsd, .{ .extent = 1, .fabric_color = @get_color(3), .input_queue = iq });
    fn main() void {
      if (sender) { @mov32(out3, 3); @mov32(out2, 2); @mov32(out, 1); }
      else { @mov32(&y[0], in2); @mov32(&y[1], in3); @mov32(&y[2], @set_dsd_length(in, 1)); }
      sys.unblock_cmd_stream();
    }
    """
    assert launched(tmp_path, pe, "wse2", layout) == ([[0] * 4, [2, 3, 1, 0]], {})


def test_an_output_queue_that_was_given_a_color(tmp_path):
    """The documentation has it on WSE-3 only: on WSE-2 the DSD's color is sent."""
    pe = """
    fn main() void { if (sender) { @mov32(out, 7); } else { @mov32(&y[0], @set_dsd_length(in, 1)); } sys.unblock_cmd_stream(); }
    comptime { if (!wse3) { @initialize_queue(oq, .{ .color = @get_color(9) }); } }
    """
    assert launched(tmp_path, pe, "wse2")[0] == [[0] * 4, [7, 0, 0, 0]]


def test_data_tasks_need_no_number_of_a_queue(tmp_path):
    """WSE-2: six numbers are the DSDs', and seven colors have data tasks."""
    layout = (
        LAYOUT.replace("  @export_name", "  for (@range(u16, 2, 16, 1)) |n| { route(n); }\n  @export_name", 1)
        + """
    fn route(n: u16) void {
      @set_color_config(0, 0, @get_color(n), .{ .routes = .{ .rx = .{ RAMP }, .tx = .{ EAST } } });
      @set_color_config(1, 0, @get_color(n), .{ .routes = .{ .rx = .{ WEST }, .tx = .{ RAMP } } });
    }
    """
    )
    inputs = "".join(
        f"const in{q} = @get_dsd(fabin_dsd, .{{ .extent = 1, .fabric_color = @get_color({q + 7}), .input_queue = @get_input_queue({q}) }});"
        for q in (1, 2, 3, 5, 6, 7)
    )
    pe = (
        inputs
        + """
    task add(v: u32) void { y[1] += v; }
    fn main() void {
      if (sender) {
        inline for (@range(u16, 2, 15, 1)) |n| {
          @mov32(@get_dsd(fabout_dsd, .{ .extent = 1, .fabric_color = @get_color(n), .output_queue = oq }), @as(u32, 1) << n);
        }
      } else {
        var n: u32 = 0;
        """
        + "".join(f"@mov32(&n, in{q}); y[0] += n;" for q in (7, 6, 5, 3, 2, 1))
        + """
      }
      sys.unblock_cmd_stream();
    }
    comptime { inline for (@range(u16, 2, 8, 1)) |n| { @bind_data_task(add, @get_data_task_id(@get_color(n))); }
               @bind_data_task(add, @get_data_task_id(@get_color(11))); }
    """
    )
    y, warnings = launched(tmp_path, pe, "wse2", layout)
    assert y[1][:2] == [sum(1 << q + 7 for q in (1, 2, 3, 5, 6, 7)), sum(1 << n for n in (2, 3, 4, 5, 6, 7, 11))]
    assert not warnings


def test_data_tasks_on_all_colors(tmp_path):
    """WSE-2: more colors than the machine has queues, each with a task."""
    colors = range(20)
    layout = re.sub(r"const c = .*\n", "", LAYOUT).replace(", .c = c", "")
    layout = re.sub(
        r"  @set_color_config\(0(.*)\n  @set_color_config\(1(.*)\n",
        r"  for (@range(u16, 20)) |n| { route(n); }\n",
        layout,
    )
    layout += """
    fn route(n: u16) void {
      @set_color_config(0, 0, @get_color(n), .{ .routes = .{ .rx = .{ RAMP }, .tx = .{ EAST } } });
      @set_color_config(1, 0, @get_color(n), .{ .routes = .{ .rx = .{ WEST }, .tx = .{ RAMP } } });
    }
    """
    tasks = "".join(f"task t{n}(v: u32) void {{ y[0] += v; y[1] |= 1 << {n}; }}" for n in colors)
    bind = "".join(f"@bind_data_task(t{n}, @get_data_task_id(@get_color({n})));" for n in colors)
    pe = f"""
    param memcpy_params; param sender: bool;
    const sys = @import_module("<memcpy/memcpy>", memcpy_params);
    var y = @zeros([4]u32);
    var y_ptr: [*]u32 = &y;
    {tasks}
    fn main() void {{
      if (sender) {{
        inline for (@range(u16, 20)) |n| {{
          const out = @get_dsd(fabout_dsd, .{{ .extent = 5, .fabric_color = @get_color(n), .output_queue = @get_output_queue(3) }});
          @mov32(out, @as(u32, n) + 1);
        }}
      }}
      sys.unblock_cmd_stream();
    }}
    comptime {{ {bind} @export_symbol(y_ptr, "y"); @export_symbol(main); }}
    """
    path = write_files(tmp_path, {"layout.csl": layout, "pe.csl": pe})
    fabric = meshlang.compile(path, arch="wse2").start()
    fabric.launch("main")
    fabric.run()
    assert fabric.read("y")[0, 1].tolist() == [5 * sum(n + 1 for n in colors), (1 << 20) - 1, 0, 0]
    assert not fabric.warnings


@pytest.mark.parametrize("role", [False, True])
def test_a_role_that_does_not_receive(tmp_path, role):
    """WSE-3: the task is bound everywhere, and its queue initialised where it is used."""
    layout = LAYOUT.replace(".sender = x == 0", ".sender = x == 0, .receives = x == 1" if role else ".sender = x == 0")
    pe = """
    param receives: bool = false;
    const q = @get_input_queue(5);
    task got(v: u32) void { y[0] += v; }
    fn main() void { if (sender) { @mov32(out, 6); } sys.unblock_cmd_stream(); }
    comptime { @bind_data_task(got, @get_data_task_id(q)); if (receives) { @initialize_queue(q, .{ .color = c }); } }
    """
    head = HEAD.replace("  @initialize_queue(iq, .{ .color = c });\n", "")
    path = write_files(tmp_path, {"layout.csl": layout, "pe.csl": head + pe})
    program = meshlang.compile(path, arch="wse3")
    assert {w.code for w in program.ir.warnings} == {"MS0411"}
    fabric = program.start()
    fabric.launch("main")
    fabric.run()
    assert fabric.read("y")[0, :, 0].tolist() == [0, 6 if role else 0]


@BOTH
def test_an_operation_that_is_put_off_is_noted_once(tmp_path, arch):
    """Scalar code has run ahead of the fabric: the operation comes back in its cycle, and what it reads past its array is one
    access."""
    y, warnings = launched(
        tmp_path,
        """
    var small = [4]u32{1, 2, 3, 4};
    var behind = [4]u32{5, 6, 7, 8};
    var six = @zeros([6]u32);
    const small_dsd = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> small[i] });
    const behind_dsd = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> behind[i] });
    const past = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{6} -> small[i] });
    const six_dsd = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{6} -> six[i] });
    const six_out = @get_dsd(fabout_dsd, .{ .extent = 6, .fabric_color = c, .output_queue = oq });
    const six_in = @get_dsd(fabin_dsd, .{ .extent = 6, .fabric_color = c, .input_queue = iq });
    fn main() void {
      @mov32(small_dsd, small_dsd); @mov32(behind_dsd, behind_dsd);
      if (sender) {
        for (@range(u32, 9)) |i| { y[i & 3] += y[(i + 1) & 3] * 3 + i; }
        @mov32(six_out, past);
      } else {
        @mov32(six_dsd, six_in);
        y[0] = six[3]; y[1] = six[4]; y[2] = six[5];
      }
      sys.unblock_cmd_stream();
    }
    """,
        arch,
    )
    assert y[1] == [4, 5, 6, 0] and set(warnings) == {"MS0852"}
    assert "1 time on 1 PE" in warnings["MS0852"].notes, warnings["MS0852"].notes
