"""Where the PEs' memories lie: in the order of the PEs, with what each tile program begins with, evenly or not; and copies between the host
and rectangles of them."""

from __future__ import annotations

import numpy as np
import pytest

import meshlang
from meshlang.fabric.machine import Machine

LAYOUT = """
param W: i16; param H: i16;
layout {
  @set_rectangle(W, H);
  for (@range(i16, H)) |y| {
    for (@range(i16, W)) |x| {
      @set_tile_code(x, y, if ((x + 2 * y) % 3 == 0) "large.csl" else "small.csl", .{ .first = 100 * y + x });
    }
  }
  @export_name("head", i16, true);
  @export_name("tail", i16, true);
  @export_name("touch", fn()void);
}
"""


def program(folder, large, small):
    (folder / "layout.csl").write_text(LAYOUT)
    for name, size in (("large", large), ("small", small)):
        (folder / f"{name}.csl").write_text(
            f"param first: i16;\nvar head: i16 = first;\nvar gap = @zeros([{size}]i16);\nvar tail: i16 = first + 1000;\n"
            "fn touch() void { head += gap[0]; tail += head; }\n"
            "comptime { @export_symbol(head); @export_symbol(tail); @export_symbol(touch); }\n"
        )
    return meshlang.compile(folder / "layout.csl", params={"W": 5, "H": 3}).ir


@pytest.mark.parametrize("large, small, even", [(300, 280, True), (2000, 10, False)])
def test_memories(tmp_path, large, small, even):
    machine = Machine(program(tmp_path, large, small))
    starts = machine.mem_base
    steps = np.diff(starts)
    assert (steps > 0).all() and (len(set(steps.tolist())) == 1) == even
    size = machine.pes["memsize"]
    assert (steps >= size[:-1]).all()
    for name, more in (("head", 0), ("tail", 1000)):
        address = machine.pointer_values(0, 0, 5, 3, name)
        values = machine.read_bytes(0, 0, 5, 3, address, 2).view(np.int16)[:, :, 0]
        assert np.array_equal(values, 100 * np.arange(3)[:, None] + np.arange(5) + more)
    # rectangles, rows, columns and single PEs, at one address and at addresses of their own
    rng = np.random.default_rng(1)
    memory = machine.read_bytes(0, 0, 5, 3, 0, int(size.min()))
    for x, y, w, h in ((0, 0, 5, 3), (1, 1, 3, 2), (0, 2, 5, 1), (4, 0, 1, 3), (2, 1, 1, 1)):
        for address in (18, rng.integers(20, 24, (h, w))):
            data = rng.integers(0, 256, (h, w, 6), np.uint8)
            machine.write_bytes(x, y, w, h, address, data)
            assert np.array_equal(machine.read_bytes(x, y, w, h, address, 6), data)
            where = np.broadcast_to(address, (h, w))
            for j in range(h):
                for i in range(w):
                    memory[y + j, x + i, where[j, i] : where[j, i] + 6] = data[j, i]
    assert np.array_equal(machine.read_bytes(0, 0, 5, 3, 0, memory.shape[2]), memory)
