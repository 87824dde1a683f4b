"""Commands, copies and streams are one queue: what waits for what, with blocking calls and without."""

import numpy as np
import pytest
from compiling import write_files

import meshlang
from meshlang.host.sdk.runtime import MemcpyDataType, MemcpyOrder, SdkRuntime

COPY = {"streaming": False, "data_type": MemcpyDataType.MEMCPY_32BIT, "order": MemcpyOrder.ROW_MAJOR}
STREAM = {**COPY, "streaming": True}
IN, IN2, OUT = 1, 2, 3
BOTH = pytest.mark.parametrize("arch", ["wse2", "wse3"])
WAYS = pytest.mark.parametrize("nonblock", [False, True])

LAYOUT = """
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 1, .height = 1,
  .MEMCPYH2D_1 = @get_color(1), .MEMCPYH2D_2 = @get_color(2), .MEMCPYD2H_1 = @get_color(3) });
layout {
  @set_rectangle(1, 1);
  @set_tile_code(0, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(0) });
  @export_name("y", [*]u32, true);
  @export_name("main", fn()void);
}
"""
PE = """
param memcpy_params;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const iq = @get_input_queue(2); const iq2 = @get_input_queue(3); const oq = @get_output_queue(5);
const wse3 = @is_arch("wse3");
const in_id = @get_data_task_id(if (wse3) iq else sys.MEMCPYH2D_1);
const in2_id = @get_data_task_id(if (wse3) iq2 else sys.MEMCPYH2D_2);
const next_id = @get_local_task_id(12);
var y = @zeros([200]u32);
var y_ptr: [*]u32 = &y;
const words = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{200} -> y[i] });
const in = @get_dsd(fabin_dsd, .{ .extent = 200, .fabric_color = sys.MEMCPYH2D_1, .input_queue = iq });
const out = @get_dsd(fabout_dsd, .{ .extent = 200, .fabric_color = sys.MEMCPYD2H_1, .output_queue = oq });
comptime {
  @initialize_queue(iq, .{ .color = sys.MEMCPYH2D_1 }); @initialize_queue(iq2, .{ .color = sys.MEMCPYH2D_2 });
  if (wse3) { @initialize_queue(oq, .{ .color = sys.MEMCPYD2H_1 }); }
  @export_symbol(y_ptr, "y"); @export_symbol(main);
}
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    def make(pe, arch):
        monkeypatch.chdir(tmp_path)
        meshlang.compile(write_files(tmp_path, {"layout.csl": LAYOUT, "pe.csl": PE + pe}), arch=arch).save("out")
        runner = SdkRuntime("out")
        runner.load()
        runner.run()
        return runner

    return make


def send(runner, color, n, nonblock, first=0):
    return runner.memcpy_h2d(
        color, np.arange(first, first + n, dtype=np.uint32), 0, 0, 1, 1, n, **STREAM, nonblock=nonblock
    )


def receive(runner, n, nonblock):
    data = np.zeros(n, np.uint32)
    return data, runner.memcpy_d2h(data, OUT, 0, 0, 1, 1, n, **STREAM, nonblock=nonblock)


def y_of(runner, n):
    out = np.zeros(n, np.uint32)
    runner.memcpy_d2h(out, runner.get_id("y"), 0, 0, 1, 1, n, **COPY, nonblock=False)
    return out.tolist()


SLOW = """
var n: u32 = 0;
fn main() void { y[2] = n; sys.unblock_cmd_stream(); }
task first(v: u32) void { n += 1; y[1] = n; for (@range(u16, 300)) |i| { y[10] += 1; } }
task second(v: u32) void { y[0] = n; }
comptime { @bind_data_task(first, in_id); @bind_data_task(second, in2_id); }
"""


@BOTH
@WAYS
def test_streams_and_launches_follow_each_other(start, arch, nonblock):
    """A stream of another color, and a launch, find what was streamed before taken."""
    runner = start(SLOW, arch)
    send(runner, IN, 40, nonblock)
    send(runner, IN2, 1, nonblock)
    send(runner, IN, 5, nonblock)
    runner.launch("main", nonblock=nonblock)
    assert y_of(runner, 3) == [40, 45, 45]
    runner.stop()


@BOTH
@WAYS
def test_a_copy_to_the_device_waits_for_the_stream_before_it(start, arch, nonblock):
    runner = start(SLOW.replace("y[1] = n;", "y[1] = n; y[3] += y[20];"), arch)
    runner.memcpy_h2d(runner.get_id("y"), np.full(21, 7, np.uint32), 0, 0, 1, 1, 21, **COPY, nonblock=nonblock)
    send(runner, IN, 30, nonblock)
    runner.memcpy_h2d(runner.get_id("y"), np.zeros(21, np.uint32), 0, 0, 1, 1, 21, **COPY, nonblock=nonblock)
    send(runner, IN, 1, nonblock)
    assert y_of(runner, 4) == [0, 31, 0, 0]
    runner.stop()


ECHO = """
fn main() void { sys.unblock_cmd_stream(); }
task start() void { @mov32(out, in, .{ .async = true }); }
comptime { @bind_local_task(start, next_id); @activate(next_id); }
"""


@BOTH
@WAYS
def test_a_loop_through_the_queues(start, arch, nonblock):
    """The host's copy of the result begins when its own data are in the device's queues: so many as these hold, and no
    more."""
    runner = start(ECHO, arch)
    send(runner, IN, 12, nonblock)
    data, _ = receive(runner, 12, False)
    assert data.tolist() == list(range(12))
    with pytest.raises(meshlang.MeshlangError) as info:
        send(runner, IN, 180, nonblock)
        receive(runner, 180, False)
    (d,) = info.value.diagnostics
    assert info.value.exit_code == 3
    assert "what the host streams in is not taken: color 1 by 1 PE" in d.message
    assert ("behind it wait: stream of 180 wavelets per PE from color 3" in d.notes) == nonblock


@BOTH
def test_a_buffer_on_the_device_takes_it_all(start, arch):
    runner = start(
        """
    var store = @zeros([200]u32);
    const fifo = @allocate_fifo(store);
    fn main() void { sys.unblock_cmd_stream(); }
    task start() void { @mov32(fifo, in, .{ .async = true }); @mov32(out, fifo, .{ .async = true }); }
    comptime { @bind_local_task(start, next_id); @activate(next_id); }
    """,
        arch,
    )
    send(runner, IN, 200, False)
    data, task = receive(runner, 200, True)
    assert not data.any() and not task.done
    runner.launch("main", nonblock=False)  # behind the copy
    assert data.tolist() == list(range(200)) and runner.is_task_done(task)
    runner.stop()


SEND = """
fn main() void { @mov32(@set_dsd_length(out, COUNT), @set_dsd_length(words, COUNT), .{ .async = true, .activate = next_id }); UNBLOCK }
task sent() void { y[0] = 1; DONE }
comptime { @bind_local_task(sent, next_id); }
"""
HELD = SEND.replace("UNBLOCK", "").replace("DONE", "sys.unblock_cmd_stream();")


@BOTH
@WAYS
def test_a_launch_that_holds_the_stream(start, arch, nonblock):
    """The command is released when the data have left, and the host's copy cannot begin before that: a deadlock."""
    runner = start(HELD.replace("COUNT", "128"), arch)
    with pytest.raises(meshlang.MeshlangError) as info:
        runner.launch("main", nonblock=nonblock)
        receive(runner, 128, False)
    (d,) = info.value.diagnostics
    assert (info.value.exit_code, d.code) == (3, "MS0860") and "'main' has not finished on 1 PE" in d.message
    assert any(n.startswith("commands and copies are one queue") for n in d.notes)
    assert ("behind it wait: stream of 128 wavelets per PE from color 3" in d.notes) == nonblock


@BOTH
@WAYS
def test_few_words_leave_before_the_launch_is_over(start, arch, nonblock):
    """The queues and the way to the host hold them."""
    runner = start(HELD.replace("COUNT", "16"), arch)
    runner.launch("main", nonblock=nonblock)
    data, _ = receive(runner, 16, False)
    assert data.tolist() == [0] * 16
    runner.stop()


@BOTH
@WAYS
def test_a_launch_that_unblocks_first(start, arch, nonblock):
    runner = start(
        SEND.replace("COUNT", "128").replace("UNBLOCK", "sys.unblock_cmd_stream();").replace("DONE", ""), arch
    )
    runner.memcpy_h2d(runner.get_id("y"), np.arange(200, dtype=np.uint32), 0, 0, 1, 1, 200, **COPY, nonblock=nonblock)
    runner.launch("main", nonblock=nonblock)
    data, _ = receive(runner, 128, False)
    assert data.tolist() == list(range(128))
    assert y_of(runner, 2) == [1, 1]
    runner.stop()


@BOTH
def test_the_way_to_the_device_holds_sixteen_words(start, arch):
    """A stream is over for the host when its last word has left it: the PE's queue holds some, and the way there sixteen."""
    idle = "fn main() void { sys.unblock_cmd_stream(); }"
    runner = start(idle, arch)
    send(runner, IN, 100, True)
    machine = runner._session.machine
    machine.run()
    in_queue = 100 - machine.stream_in_left(IN)
    assert 0 < in_queue < 60
    for words, over in ((in_queue + 16, True), (in_queue + 17, False)):
        runner = start(idle, arch)
        if over:
            send(runner, IN, words, False)
        else:
            with pytest.raises(meshlang.MeshlangError, match="what the host streams in is not taken"):
                send(runner, IN, words, False)


@BOTH
def test_streams_in_both_directions_at_once(start, arch):
    """A data task that answers each word: its answers wait for the host, which sends on."""
    runner = start(
        """
    var sum: u32 = 0;
    const one = @get_dsd(fabout_dsd, .{ .extent = 1, .fabric_color = sys.MEMCPYD2H_1, .output_queue = oq });
    fn main() void { sys.unblock_cmd_stream(); }
    task add(v: u32) void { sum += v; if (v % 10 == 9) { @block(in_id); @mov32(one, sum, .{ .async = true, .unblock = in_id }); } }
    comptime { @bind_data_task(add, in_id); }
    """,
        arch,
    )
    tasks = [send(runner, IN, 50, True), send(runner, IN, 50, True, 50)]
    data, last = receive(runner, 10, True)
    polls = 0
    while not all(runner.is_task_done(t) for t in (*tasks, last)):
        polls += 1
        assert polls < 100
    assert data.tolist() == np.cumsum(np.arange(100))[9::10].tolist()
    runner.stop()


def test_a_held_state_can_be_saved_and_resumed(start):
    """Snapshots keep what the host does not take yet."""
    from meshlang.fabric.snapshot import put, take

    runner = start(
        SEND.replace("COUNT", "30").replace("UNBLOCK", "sys.unblock_cmd_stream();").replace("DONE", ""), "wse2"
    )
    runner.launch("main", nonblock=False)
    machine = runner._session.machine
    machine.run()
    held = take(machine)
    for _ in range(2):
        machine.hold_streams(())
        machine.run()
        assert machine.stream_out_available(OUT, 0, 0) == 30
        put(machine, held)
        assert machine.held_streams == [OUT] and machine.stream_out_available(OUT, 0, 0) == 0


def test_words_that_the_host_does_not_ask_for(start, capsys):
    runner = start(
        SEND.replace("COUNT", "9").replace("UNBLOCK", "sys.unblock_cmd_stream();").replace("DONE", ""), "wse2"
    )
    runner.launch("main", nonblock=False)
    receive(runner, 3, False)
    runner.stop()
    assert "wait for the host, which has not begun to take them" in capsys.readouterr().err


# ---------------------------------------------------------------- warnings reach those who do not use a command


def test_left_over_wavelets_reach_the_caller(start, tmp_path, capsys):
    pe = SEND.replace("COUNT", "3").replace("UNBLOCK", "sys.unblock_cmd_stream();").replace("DONE", "")
    start(pe, "wse2")
    with meshlang.load("out").start() as fabric:
        fabric.launch("main")
        assert not capsys.readouterr().err
    assert "warning[MS0854]" in capsys.readouterr().err
    assert [w.code for w in fabric.warnings] == ["MS0854"]
    with pytest.raises(meshlang.MeshlangError, match="MS0854"), meshlang.load("out").start(strict=True) as fabric:
        fabric.launch("main")
