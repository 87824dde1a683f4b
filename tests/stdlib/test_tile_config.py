"""<tile_config>: what it changes at run time, seen in what the PEs do."""

from __future__ import annotations

import numpy as np
import pytest

import meshlang
from meshlang.diag import MeshlangError

LAYOUT = """
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 2, .height = 1 });
layout {
  @set_rectangle(2, 1);
  for (@range(u16, 2)) |x| { @set_tile_code(x, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(x), .x = x }); }
  @export_name("out", [*]u32, true);
  @export_name("main", fn()void);
}
"""
PE = """
param memcpy_params; param x: u16;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const tile_config = @import_module("<tile_config>");
const a = @get_color(4);
const b = @get_color(5);
const iq = @get_input_queue(2);
const oq = @get_output_queue(2);
const wse3 = @is_arch("wse3");
var out = @zeros([16]u32);
var out_ptr: [*]u32 = &out;
comptime { @export_symbol(out_ptr, "out"); @export_symbol(main); }
"""
# a and b go from PE 0 to PE 1; iq receives a, oq sends on a
LINKS = """
comptime {
  const east = .{ .routes = .{ .rx = .{ RAMP }, .tx = .{ EAST } } };
  const in = .{ .routes = .{ .rx = .{ WEST }, .tx = .{ RAMP } } };
  @set_local_color_config(a, if (x == 0) east else in);
  @set_local_color_config(b, if (x == 0) east else in);
  @initialize_queue(iq, .{ .color = a });
  @initialize_queue(oq, if (wse3) .{ .color = a } else .{});
}
const fabin = @get_dsd(fabin_dsd, .{ .extent = 3, .input_queue = iq });
const fabout_a = @get_dsd(fabout_dsd, .{ .extent = 3, .fabric_color = a, .output_queue = oq });
const fabout_b = @get_dsd(fabout_dsd, if (wse3) .{ .extent = 3, .output_queue = oq } else .{ .extent = 3, .fabric_color = b, .output_queue = oq });
const three = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{3} -> out[i] });
var idle: u32 = 0;
fn wait() void { for (@range(u16, 200)) |i| { idle += i; } }
"""


def run(folder, source, arch="wse3") -> np.ndarray:
    (folder / "layout.csl").write_text(LAYOUT)
    (folder / "pe.csl").write_text(PE + source)
    with meshlang.compile(str(folder / "layout.csl"), arch=arch).start(max_cycles=100_000) as fabric:
        fabric.launch("main")
        return fabric.read("out")[0]


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_queues_get_another_color(tmp_path, arch):
    out = run(
        tmp_path,
        LINKS
        + """
fn main() void {
  if (x == 0) {
    @mov32(fabout_a, 7);
    wait();                                     // until the queue is empty
    if (wse3) { tile_config.output_queue_config.encode_output_queue(oq, b); }
    @mov32(fabout_b, 8);
  } else {
    @mov32(three, fabin);
    tile_config.input_queue_config.encode_input_queue(2, @get_int(b), false);
    @mov32(@increment_dsd_offset(three, 3, u32), fabin);
  }
  sys.unblock_cmd_stream();
}
""",
        arch,
    )
    assert out[1, :6].tolist() == [7, 7, 7, 8, 8, 8]


@pytest.mark.parametrize(
    "body, code, text",
    [
        (
            "if (x == 0) { @mov32(@set_dsd_length(fabout_a, 60), 7, .{ .async = true }); wait(); "
            "tile_config.output_queue_config.encode_output_queue(2, 5); }",
            "MS0833",
            "output queue 2 is wanted for color 5, but wavelets of color 4 are still in it",
        ),
        (
            "if (x == 0) { @mov32(fabout_a, 7); } else { wait(); tile_config.input_queue_config.encode_input_queue(2, 5, false); }",
            "MS0833",
            "input queue 2 is wanted for color 5",
        ),
        ("if (x == 0) { tile_config.output_queue_config.encode_output_queue(2, 9); }", "MS0822", "no route"),
        ("if (x == 0) { tile_config.output_queue_config.encode_output_queue(6, 5); }", "MS0821", "no output queue"),
    ],
)
def test_queues_that_cannot_change(tmp_path, body, code, text):
    with pytest.raises(MeshlangError) as e:
        run(
            tmp_path,
            LINKS + "fn main() void { " + body + " sys.unblock_cmd_stream(); }\n"
            "fn never() void { @mov32(three, fabin); }",
        )
    assert e.value.diagnostics[0].code == code and text in e.value.diagnostics[0].message


FILTERED = """
const f = tile_config.filters;
comptime {
  @set_local_color_config(a, if (x == 0) .{ .routes = .{ .rx = .{ RAMP }, .tx = .{ EAST } } } else .{ .routes = .{ .rx = .{ WEST }, .tx = .{ RAMP } },
    .filter = .{ .kind = .{ .counter = true }, .count_data = true, .count_control = false, .init_counter = 1, .max_counter = 2, .limit1 = 4 } });
  @initialize_queue(iq, .{ .color = a });
  @initialize_queue(oq, .{ .color = a });
  if (x == 1) { @bind_data_task(got, @get_data_task_id(iq)); }
}
const fabout = @get_dsd(fabout_dsd, .{ .extent = 12, .fabric_color = a, .output_queue = oq });
const numbers = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{12} -> source[i] });
var source = [12]u32{ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 };
var n: u16 = 0;
var idle: u32 = 0;
task got(v: u32) void { out[n] = v; n += 1; }
fn main() void {
  if (x == 0) {
    for (@range(u16, 500)) |i| { idle += i; }       // the other PE sets its filter first
    @mov32(fabout, numbers);
  } else { const id = @get_filter_id(a); %s }
  sys.unblock_cmd_stream();
}
"""


@pytest.mark.parametrize(
    "change, passed",
    [
        ("", [0, 1, 4, 5, 6, 9, 10, 11]),  # 1 2 | 3 4 | 0 1 2 | 3 4 | ...
        ("f.set_counter(id, 3);", [2, 3, 4, 7, 8, 9]),
        ("f.set_max_counter(id, 0);", [4, 9]),
        ("f.set_active_limit(id, 2);", list(range(12))),
        ("f.set_counter_and_state(id, 2, f.counter_filter_state.DROP);", [1, 2, 3, 6, 7, 8, 11]),
        ("f.set_counter_value(id, 4);", [0, 3, 4, 5, 8, 9, 10]),
        ("f.set_state(id, f.counter_filter_state.DROP);", [2, 3, 4, 7, 8, 9]),
        ("f.set_pass_count(id, 8); f.set_drop_count(id, 2);", [0, 1, 2, 4, 5, 6, 7, 9, 10, 11]),
    ],
)
def test_filters(tmp_path, change, passed):
    out = run(tmp_path, FILTERED % change)
    assert out[1, : len(passed)].tolist() == passed and not out[1, len(passed) :].any()


def test_what_filters_say(tmp_path):
    out = run(
        tmp_path,
        FILTERED
        % """
    out[10] = f.get_pass_count(id); out[11] = f.get_drop_count(id); out[12] = f.get_counter_value(id); out[13] = @as(u32, f.get_state(id));
    f.set_counter(id, 4);
    out[14] = f.get_counter_value(id); out[15] = @as(u32, f.get_state(id));
    f.set_max_counter(id, 0);                       // few pass now, so that these numbers stay
""",
    )
    assert out[1, 10:].tolist() == [6, 4, 2, 0, 2, 1]


PRIORITY = """
const one = @get_local_task_id(9);
const two = @get_local_task_id(10);
var at: u16 = 0;
task first() void { out[at] = 1; at += 1; }
task second() void { out[at] = 2; at += 1; }
task end() void { sys.unblock_cmd_stream(); }
const last = @get_local_task_id(11);
fn main() void { %s @activate(one); @activate(two); @block(last); @activate(last); @unblock(last); }
comptime {
  @bind_local_task(first, one); @bind_local_task(second, two); @bind_local_task(end, last);
  %s
}
"""


@pytest.mark.parametrize(
    "run_time, comptime, order",
    [
        ("", "tile_config.task_priority.set_task_priority(two);", [2, 1]),
        ("", "tile_config.task_priority.set_task_priority(one);", [1, 2]),
        (
            "tile_config.task_priority.clear_task_priority(two); tile_config.task_priority.set_task_priority(one);",
            "tile_config.task_priority.update_task_priority(two, tile_config.task_priority.level.HIGH);",
            [1, 2],
        ),
        (
            "tile_config.task_priority.set_task_priority(two);",
            "tile_config.main_thread_priority.update_main_thread_priority("
            "tile_config.main_thread_priority.level.MEDIUM);",
            [2, 1],
        ),
    ],
)
def test_task_priorities(tmp_path, run_time, comptime, order):
    assert run(tmp_path, PRIORITY % (run_time, comptime))[0, :2].tolist() == order


def test_routes_from_arrays_of_directions(tmp_path):
    out = run(
        tmp_path,
        LINKS
        + """
fn main() void {
  if (x == 0) {
    tile_config.color_config.reset_routes(a, .{ .rx = [1]direction{ RAMP }, .tx = [2]direction{ EAST, RAMP } });
    @mov32(fabout_a, 3);
  }
  @mov32(three, fabin);
  sys.unblock_cmd_stream();
}
""",
    )
    assert out[:, :3].tolist() == [[3, 3, 3], [3, 3, 3]]


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_the_status_of_queues(tmp_path, arch):
    """Queues that nobody uses are empty: `all_empty` is about the others. Three wavelets wait in PE 1's queue, which
    holds more than that."""
    got = run(
        tmp_path,
        LINKS
        + """
const inputs = tile_config.input_queue_status;
const outputs = tile_config.output_queue_status;
fn bit(b: bool) u32 { return @as(u32, b); }
fn main() void {
  const o = outputs.get();
  out[3] = bit(outputs.all_empty(o)); out[4] = bit(outputs.none_full(o)); out[5] = bit(outputs.is_empty(o, @get_output_queue(5)));
  if (x == 0) { @mov32(fabout_a, 7); } else { wait(); }
  const i = inputs.get();
  out[6] = bit(inputs.all_empty(i)); out[7] = bit(inputs.is_empty(i, iq)); out[8] = bit(inputs.is_empty(i, @get_input_queue(5)));
  out[9] = bit(inputs.none_full(i)); out[10] = @as(u32, i.empty);
  if (x == 1) { @mov32(three, fabin); out[11] = bit(inputs.all_empty(inputs.get())); }
  sys.unblock_cmd_stream();
}
""",
        arch,
    )
    assert got[0, 3:11].tolist() == [1, 1, 1, 1, 1, 1, 1, 0xFF]
    assert got[1, 3:12].tolist() == [1, 1, 1, 0, 0, 1, 1, 0xFF & ~(1 << 2), 1]


def test_a_payload_at_run_time_is_that_of_compile_time(tmp_path):
    got = run(
        tmp_path,
        """
const control = @import_module("<control>");
const ADV = control.opcode.SWITCH_ADV;
const known = control.encode_payload(2, [2]control.opcode{ ADV, control.opcode.NOP }, [2]bool{ true, false }, true, {});
fn main() void {
  out[0] = known;
  out[1] = control.encode_payload(2, [2]control.opcode{ ADV, control.opcode.NOP }, [2]bool{ true, false }, true, {});
  sys.unblock_cmd_stream();
}
""",
    )
    assert got[0, 0] == got[0, 1] == 1 << 22 | 1 << 24 | 31 << 16 | sum(1 << (22 + 3 * k + 2) % 30 for k in range(2, 8))
