"""Copies of the host take their time between two launches (`fabric.host.copy`), and only there."""

import meshlang

SOURCES = {
    "layout.csl": """
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 1, .height = 1 });
layout {
  @set_rectangle(1, 1);
  @set_tile_code(0, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(0) });
  @export_name("main", fn()void);
  @export_name("a", [*]f32, true);
}
""",
    "pe.csl": """
param memcpy_params;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
var a = @zeros([4]f32);
var pointer: [*]f32 = &a;
fn main() void { a[0] += 1.0; sys.unblock_cmd_stream(); }
comptime { @export_symbol(main); @export_symbol(pointer, "a"); }
""",
}


def test_a_copy_between_launches_delays_the_second(tmp_path):
    for name, text in SOURCES.items():
        (tmp_path / name).write_text(text)
    with meshlang.compile(str(tmp_path / "layout.csl")).start() as fabric:
        took = []

        def launch() -> None:
            before = fabric.cycles
            fabric.launch("main")
            took.append(fabric.cycles - before)

        fabric.read("a", count=4)
        launch()
        launch()
        fabric.read("a", count=4)
        launch()
        fabric.read("a", count=4)
        fabric.read("a", count=4)
        launch()
        copy = fabric.session.machine.profile["fabric.host.copy"]
    assert took[0] == took[1], "before the first launch it takes none"
    # the launch before has not quite ended when the copy begins
    assert took[0] + copy - 20 < took[2] <= took[0] + copy
    assert took[3] == took[2] + copy
