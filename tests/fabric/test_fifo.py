"""FIFOs, and the options of fabric operands that need a CSL program: zero, @dfilt, queue flushing."""

import pytest
from switching import row, run

from meshlang.diag import MeshlangError

ARCHS = pytest.mark.parametrize("arch", ["wse2", "wse3"])
PAIR = """
  @set_color_config(0, 0, c, .{ .routes = .{ .rx = .{ RAMP }, .tx = .{ EAST } } });
  @set_color_config(1, 0, c, .{ .routes = .{ .rx = .{ WEST }, .tx = .{ RAMP } } });
"""
LOOP = (
    PAIR
    + """
  @set_color_config(1, 0, d, .{ .routes = .{ .rx = .{ RAMP }, .tx = .{ RAMP } } });
"""
)
SECOND_COLOR = """
comptime {
  @initialize_queue(iq2, .{ .color = d });
  if (@is_arch("wse3")) { @initialize_queue(oq2, .{ .color = d }); }
}
"""


@ARCHS
def test_synchronous_operations_stop(tmp_path, arch):
    """A push into a full FIFO and a pop from an empty one return false; nothing is lost, and the order is kept."""
    pe = """
var buffer: [3]u32;
const fifo = @allocate_fifo(buffer);
const values = [5]u32{ 11, 12, 13, 14, 15 };
fn main() void {
  if (x == 0) {
    out[0] = @as(u32, @mov32(fifo, @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{5} -> values[i] })));
    var v: u32 = 99;
    out[1] = @as(u32, @mov32(&v, fifo));
    out[2] = v;
    out[3] = @as(u32, @mov32(fifo, 16));
    out[4] = @as(u32, @mov32(fifo, 17));
    out[5] = @as(u32, @mov32(@get_dsd(mem1d_dsd, .{ .tensor_access = |i|{3} -> out[i + 6] }), fifo));
    v = 99;
    out[9] = @as(u32, @mov32(&v, fifo));
    out[10] = v;
  }
  sys.unblock_cmd_stream();
}
"""
    assert run(tmp_path, 2, PAIR, pe, arch)[0, :11].tolist() == [0, 1, 11, 1, 0, 1, 12, 13, 16, 0, 99]


@ARCHS
@pytest.mark.parametrize("extent", ["12", "0x7fff"])
def test_pumps(tmp_path, arch, extent):
    """Fabric to FIFO to fabric, both microthreads asleep whenever there is nothing to do."""
    pe = (
        """
var buffer: [2]u32;
const fifo = @allocate_fifo(buffer);
var n: u16 = 0;
task got(v: u32) void { out[n] = v; n += 1; if (n == 12) { sys.unblock_cmd_stream(); } }
fn main() void {
  if (x == 0) {
    for (@range(u32, 12)) |i| { send(i * 3); }
    sys.unblock_cmd_stream();
  } else {
    @mov32(fifo, @get_dsd(fabin_dsd, .{ .extent = EXTENT, .fabric_color = c, .input_queue = iq }), .{ .async = true });
    @mov32(@get_dsd(fabout_dsd, .{ .extent = EXTENT, .fabric_color = d, .output_queue = oq2 }), fifo, .{ .async = true });
  }
}
comptime { @bind_data_task(got, if (@is_arch("wse3")) @get_data_task_id(iq2) else @get_data_task_id(d)); }
""".replace("EXTENT", extent)
        + SECOND_COLOR
    )
    assert run(tmp_path, 2, LOOP, pe, arch)[1, :12].tolist() == [3 * i for i in range(12)]


@ARCHS
def test_push_and_pop_activate_only_after_a_refusal(tmp_path, arch):
    """activate_push: a pop has found the FIFO empty before. activate_pop: a push has found it full before."""
    pe = """
var buffer: [2]u32;
const fifo = @allocate_fifo(buffer, .{ .activate_push = pushed, .activate_pop = popped });
const end = @get_local_task_id(20);
task pushed() void { out[0] += 1; }
task popped() void { out[1] += 1; }
var v: u32 = 0;
task last() void { sys.unblock_cmd_stream(); }
fn main() void {
  if (x == 0) {
    @mov32(fifo, 1);
    @mov32(&v, fifo);
    out[2] = @as(u32, @mov32(&v, fifo));        // empty
    @mov32(fifo, 2);                            // activates
    @mov32(fifo, 3);
    out[3] = @as(u32, @mov32(fifo, 4));         // full
    @mov32(&v, fifo);                           // activates
    @mov32(&v, fifo);
  }
  @activate(end);
}
comptime {
  @bind_local_task(pushed, @get_local_task_id(10));
  @bind_local_task(popped, @get_local_task_id(11));
  @bind_local_task(last, end);
}
"""
    assert run(tmp_path, 2, PAIR, pe, arch)[0, :4].tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize("at_run_time", [False, True])
def test_lengths(tmp_path, at_run_time):
    """A FIFO's own length counts as an operand's; what is left of it after a stop remains."""
    pe = """
var lengths = [3]u16{ 3, 5, 2 };
var buffer: [8]u16;
const fifo = @allocate_fifo(buffer);
fn main() void {
  if (x == 0) {
    @set_fifo_write_length(fifo, 3);
    out[0] = @as(u32, @mov16(fifo, 7));
    var r: u16 = 0;
    @set_fifo_read_length(fifo, 5);
    out[1] = @as(u32, @add16(&r, fifo, 0));
    out[2] = @as(u32, r);
    @set_fifo_write_length(fifo, 2);
    @mov16(fifo, 9);
    out[3] = @as(u32, @add16(&r, fifo, 0));
  }
  sys.unblock_cmd_stream();
}
""".replace("@add16(&r, fifo, 0)", "@mov16(&r, fifo)")
    if at_run_time:
        for i, length in enumerate((3, 5, 2)):
            pe = pe.replace(f"_length(fifo, {length})", f"_length(fifo, lengths[{i}])")
    assert run(tmp_path, 2, PAIR, pe)[0, :4].tolist() == [1, 0, 0, 1]


def test_hang_with_a_full_fifo(tmp_path):
    pe = """
var buffer: [2]u32;
const fifo = @allocate_fifo(buffer);
fn main() void {
  if (x == 0) { for (@range(u32, 4)) |i| { send(i); } sys.unblock_cmd_stream(); }
  if (x == 1) {
    @mov32(fifo, @get_dsd(fabin_dsd, .{ .extent = 4, .fabric_color = c, .input_queue = iq }), .{ .async = true });
  }
}
"""
    with pytest.raises(MeshlangError) as e:
        run(tmp_path, 2, PAIR, pe)
    assert "waits for room in the FIFO over" in "\n".join(e.value.diagnostics[0].notes)


@ARCHS
def test_zero_clears_what_was_sent(tmp_path, arch):
    pe = """
var a = [3]u32{ 1, 2, 3 };
fn main() void {
  if (x == 0) {
    @mov32(@get_dsd(fabout_dsd, .{ .extent = 3, .fabric_color = c, .output_queue = oq, .zero = .{ .second_source = true } }),
           @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{3} -> a[i] }));
    for (@range(u16, 3)) |i| { out[i] = 10 + a[i]; }
  } else { receive(3); }
  sys.unblock_cmd_stream();
}
"""
    assert run(tmp_path, 2, PAIR, pe, arch)[:, :3].tolist() == [[10, 10, 10], [1, 2, 3]]


@ARCHS
def test_dfilt_drops_up_to_the_control_wavelets(tmp_path, arch):
    pe = """
const rest = @get_local_task_id(20);
task on_rest() void { receive(2); sys.unblock_cmd_stream(); }
fn main() void {
  if (x == 0) {
    send(1); command(31 << 16); send(2); send(3); command(31 << 16); send(4); send(5);
    sys.unblock_cmd_stream();
  } else {
    @dfilt(@get_dsd(fabin_dsd, .{ .extent = 2, .fabric_color = c, .input_queue = iq }), .{ .async = true, .activate = on_rest });
  }
}
comptime { @bind_local_task(on_rest, rest); }
"""
    assert run(tmp_path, 2, PAIR, pe, arch)[1, :2].tolist() == [4, 5]


def test_empty_queue_handler(tmp_path):
    """The handler runs once what was in the queue has gone, and once more for a queue that is empty already."""
    pe = """
const tile_config = @import_module("<tile_config>");
var times: u16 = 0;
fn drained() void {
  tile_config.queue_flush.exit(oq);
  out[times] = 1 + @as(u32, tile_config.output_queue_status.is_empty(tile_config.output_queue_status.get(), oq));
  times += 1;
  if (times == 1) { @queue_flush(oq); } else { sys.unblock_cmd_stream(); }
}
fn main() void {
  if (x == 0) {
    for (@range(u32, 6)) |i| { send(i); }
    @queue_flush(oq);
  } else { receive(6); sys.unblock_cmd_stream(); }
}
comptime { @set_empty_queue_handler(drained, oq); }
"""
    assert run(tmp_path, 2, PAIR, pe)[0, :3].tolist() == [2, 2, 0]


def test_a_suspended_pump_costs_nothing(tmp_path):
    """No busy polling: a microthread that waits for its FIFO is not visited."""
    pe = (
        """
var buffer: [2]u32;
const fifo = @allocate_fifo(buffer);
fn main() void {
  if (x == 1) {
    @mov32(@get_dsd(fabout_dsd, .{ .extent = 0x7fff, .fabric_color = d, .output_queue = oq2 }), fifo, .{ .async = true });
  } else {
    for (@range(u16, 2000)) |i| { out[1] += @as(u32, i); }
  }
  sys.unblock_cmd_stream();
}
"""
        + SECOND_COLOR
    )
    with row(tmp_path, 2, LOOP, pe) as fabric:
        fabric.launch("main")
        from meshlang.fabric.engine import state

        # a busy main thread looks up every 63 cycles
        assert fabric.session.machine.state.W[state.G_VISITS_C] * 30 < fabric.cycles
