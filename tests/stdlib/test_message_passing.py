"""<message_passing>: random messages between all PEs of rectangles of every shape, and the mistakes."""

import numpy as np
import pytest

import meshlang
from meshlang.diag import MeshlangError

LAYOUT = """param W: u16; param H: u16;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = W, .height = H });
layout {
  @set_rectangle(W, H);
  for (@range(u16, W)) |x| { for (@range(u16, H)) |y| { @set_tile_code(x, y, "pe.csl", .{ .memcpy_params = memcpy.get_params(x) }); } }
  @export_name("plan", [*]u32, true); @export_name("got", [*]u32, true); @export_name("main", fn()void);
}
"""
PE = """param memcpy_params;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const mp = @import_module("<message_passing>", .{ .input_queue_id = 2, .output_queue_id = OUT });
const SENT = @get_local_task_id(9);
const GOT = @get_local_task_id(10);
// how many to send and to receive, then column, row and length of each to send; word k of message m of PE p is p << 16 | m << 8 | k
var plan = @zeros([64]u32); var plan_ptr: [*]u32 = &plan;
var got = @zeros([800]u32); var got_ptr: [*]u32 = &got;
var words: [32]u32; var buffer: [32]u32;
var m: u16 = 0; var received: u16 = 0;
const layout_mod = @import_module("<layout>");
fn send() void {
  if (m == @as(u16, plan[0])) return;
  const number = layout_mod.get_y_coord() * @get_rectangle().width + layout_mod.get_x_coord();
  for (@range(u16, 32)) |k| { words[k] = (@as(u32, number) << 16) | (@as(u32, m) << 8) | @as(u32, k); }
  const at = 2 + 3 * m;
  m += 1;
  mp.send_message(@as(u16, plan[at]), @as(u16, plan[at + 1]), &words, @as(u16, plan[at + 2]), SENT);
}
fn receive() void {
  for (@range(u16, 32)) |k| { buffer[k] = 0xffffffff; }
  if (received < @as(u16, plan[1])) mp.recv_message(&buffer, GOT);
}
fn end() void { if (m == @as(u16, plan[0]) and !busy and received == @as(u16, plan[1])) sys.unblock_cmd_stream(); }
var busy = false;
task sent() void { busy = false; if (m < @as(u16, plan[0])) { busy = true; send(); } end(); }
task arrived() void {
  for (@range(u16, 32)) |k| { got[received * 32 + k] = buffer[k]; }
  received += 1;
  receive();
  end();
}
BODY
comptime {
  @bind_local_task(sent, SENT); @bind_local_task(arrived, GOT);
  @export_symbol(plan_ptr, "plan"); @export_symbol(got_ptr, "got"); @export_symbol(main);
}
"""
MAIN = "fn main() void { mp.init(); receive(); if (plan[0] > 0) { busy = true; send(); } end(); }"


def start(folder, width: int, height: int, body: str = MAIN, arch: str = "wse3", output_queue: int = 3):
    (folder / "layout.csl").write_text(LAYOUT)
    (folder / "pe.csl").write_text(PE.replace("BODY", body).replace("OUT", str(output_queue)))
    return meshlang.compile(folder / "layout.csl", params={"W": width, "H": height}, arch=arch).start()


@pytest.mark.parametrize(
    ("width", "height"), [(1, 1), (2, 1), (1, 2), (5, 1), (1, 4), (2, 2), (3, 3), (4, 3), (3, 4), (5, 5)]
)
@pytest.mark.parametrize("output_queue", [2, 3])
def test_every_message_arrives_once_and_in_order(tmp_path, width, height, output_queue):
    """Each PE sends some messages to anyone, also to itself, as fast as it can, and receives all the time."""
    rng = np.random.default_rng(output_queue)
    plan = np.zeros((height, width, 64), np.uint32)
    want: dict = {}
    for p in range(width * height):
        y, x = divmod(p, width)
        plan[y, x, 0] = n = int(rng.integers(0, 9))
        for m in range(n):
            to = (int(rng.integers(width)), int(rng.integers(height)))
            length = int(rng.integers(1, 33)) if rng.random() < 0.8 else 32
            plan[y, x, 2 + 3 * m : 5 + 3 * m] = (*to, length)
            plan[to[1], to[0], 1] += 1
            want.setdefault(to, {}).setdefault(p, []).append([p << 16 | m << 8 | k for k in range(length)])
    with start(tmp_path, width, height, output_queue=output_queue) as fabric:
        fabric.write("plan", plan)
        fabric.launch("main")
        fabric.run()
        got = fabric.read("got", count=800).reshape(height, width, 25, 32)
        assert fabric.warnings == []
    for y in range(height):
        for x in range(width):
            found: dict = {}
            for words in got[y, x, : int(plan[y, x, 1])].tolist():
                words = [w for w in words if w != 0xFFFFFFFF]
                found.setdefault(words[0] >> 16, []).append(words)
            assert found == want.get((x, y), {}), (x, y)


def test_everyone_sends_to_one(tmp_path):
    """The ring is full of messages for a PE that receives late: they wait, and nothing is lost."""
    plan = np.zeros((3, 3, 64), np.uint32)
    plan[..., 0] = 2
    plan[..., 2:8] = (1, 1, 32, 1, 1, 32)
    plan[1, 1, 1] = 18
    body = MAIN.replace(
        "receive();",
        "var spent: u32 = 0; for (@range(u16, 4000)) |i| { spent += @as(u32, i); } if (spent > 0) receive();",
    )
    with start(tmp_path, 3, 3, body) as fabric:
        fabric.write("plan", plan)
        fabric.launch("main")
        got = fabric.read("got", count=800).reshape(3, 3, 25, 32)[1, 1, :18]
    assert sorted({int(w) for w in got[:, 31]}) == sorted(p << 16 | m << 8 | 31 for p in range(9) for m in range(2))


@pytest.mark.parametrize(
    "body",
    [
        "mp.send_message(0, 0, &words, 4, SENT);",
        "mp.init(); mp.send_message(2, 0, &words, 4, SENT);",
        "mp.init(); mp.init();",
        "mp.init(); mp.send_message(0, 0, &words, 33, SENT);",
        "mp.init(); mp.recv_message(&buffer, GOT); mp.recv_message(&buffer, GOT);",
        "mp.init(); mp.send_message(1, 0, &words, 4, SENT); mp.send_message(1, 0, &words, 4, SENT);",
    ],
)
def test_mistakes_stop_the_program(tmp_path, body):
    with pytest.raises(MeshlangError, match="MS0807") as caught:
        start(tmp_path, 2, 1, f"fn main() void {{ {body} sys.unblock_cmd_stream(); }}").launch("main")
    assert "message_passing" in caught.value.diagnostics[0].span.file.path


def test_a_message_that_nobody_receives_is_told(tmp_path):
    with start(
        tmp_path,
        2,
        1,
        "fn main() void { mp.init(); receive(); if (plan[0] > 0) { busy = true; send(); } else { end(); } }",
    ) as fabric:
        plan = np.zeros((1, 2, 64), np.uint32)
        plan[0, 0, 0], plan[0, 0, 2:26] = 8, [1, 0, 32] * 8
        fabric.write("plan", plan)
        with pytest.raises(MeshlangError, match="MS0860"):
            fabric.launch("main")


def test_a_data_task_on_its_queue_is_refused(tmp_path):
    body = MAIN + " task mine(v: u32) void {} comptime { @bind_data_task(mine, @get_data_task_id(mp.mp_input_queue)); }"
    with pytest.raises(MeshlangError, match="MS0405"):
        start(tmp_path, 2, 1, body)


def test_it_exists_on_wse3_only(tmp_path):
    with pytest.raises(MeshlangError, match="wse3 only"):
        start(tmp_path, 2, 1, arch="wse2")
