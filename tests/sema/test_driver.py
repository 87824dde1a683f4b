"""The driver of a compilation: what memcpy keeps for itself, queues that programs get, names of tile programs, imports."""

from __future__ import annotations

import sys

import pytest
from compiling import compile_files

from meshlang.diag import MeshlangError
from meshlang.ir.isa import PE_MEMORY
from meshlang.sema.compiler import MOST_IMPORTS, deep_recursion
from meshlang.sema.model.options import CompileOptions

MEMCPY = """param memcpy_params;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
fn main() void { sys.unblock_cmd_stream(); }
"""
MEMCPY_LAYOUT = """const memcpy = @import_module("<memcpy/get_params>", .{ .width = 1, .height = 1 });
layout {
  @set_rectangle(1, 1);
  @set_tile_code(0, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(0) });
  @export_name("main", fn()void);
}
"""


def one(code, layout="", rectangle="1, 1"):
    return {
        "layout.csl": f'layout {{ @set_rectangle({rectangle}); @set_tile_code(0, 0, "pe.csl"); {layout} }}\n',
        "pe.csl": code,
    }


def warned(program, code):
    return [d.message for d in program.warnings if d.code == code]


def test_ids_that_memcpy_takes(tmp_path):
    """Of the ids that a local task can have on WSE-2, exactly these; none of them where memcpy is not used."""
    ids = range(8, 31)
    tasks = "".join(f"task t{i}() void {{}}\n" for i in ids)
    binds = "".join(f"@bind_local_task(t{i}, @get_local_task_id({i}));\n" for i in ids if i != 29)
    code = f"{tasks}comptime {{ {binds} @export_symbol(main); }}\n"
    program = compile_files(tmp_path, {"layout.csl": MEMCPY_LAYOUT, "pe.csl": MEMCPY + code}, arch="wse2")
    reserved = [f"task id {i} is reserved for memcpy, which this program uses" for i in (21, 22, 23, 27, 28, 30)]
    assert warned(program, "MS0414") == reserved
    alone = compile_files(tmp_path, one(f"{tasks}comptime {{ {binds} }}\n"), arch="wse2")
    assert warned(alone, "MS0414") == []


@pytest.mark.parametrize(("arch", "taken"), [("wse2", [0]), ("wse3", [0, 1])])
def test_queues_that_memcpy_takes(tmp_path, arch, taken):
    """Output queues are warned of, input queues refused: 0, and on WSE-3 1 as well."""
    for queue in range(3):
        use = f"@initialize_queue(@get_output_queue({queue}), .{{ .color = @get_color(5) }});"
        if arch == "wse2":
            use = ""
        code = MEMCPY + f"comptime {{ {use} @export_symbol(main); }}\n"
        program = compile_files(tmp_path, {"layout.csl": MEMCPY_LAYOUT, "pe.csl": code}, arch=arch)
        expected = (
            [f"output queue {queue} is reserved for memcpy, which this program uses"] if use and queue in taken else []
        )
        assert warned(program, "MS0414") == expected
    for queue in range(3):
        use = f"@initialize_queue(@get_input_queue({queue}), .{{ .color = @get_color(5) }});"
        files = {"layout.csl": MEMCPY_LAYOUT, "pe.csl": MEMCPY + f"comptime {{ {use} @export_symbol(main); }}\n"}
        if queue in taken:
            with pytest.raises(MeshlangError, match=f"MS0414.*input queue {queue} belongs to memcpy") as error:
                compile_files(tmp_path, files, arch=arch)
            assert error.value.diagnostics[0].help == f"use another one, from {len(taken)} on"
        else:
            compile_files(tmp_path, files, arch=arch)


DATA = """
{tasks}
comptime {{ {binds} }}
"""


def test_data_tasks_get_the_queues_that_are_free(tmp_path):
    """On WSE-2: 1 to 7, then 0, then places where nothing but a task waits; not those that a DSD names."""
    colors = range(10)
    tasks = "".join(f"task t{c}(x: u32) void {{}}\n" for c in colors)
    binds = "".join(f"@bind_data_task(t{c}, @get_data_task_id(@get_color({c})));\n" for c in colors)
    program = compile_files(tmp_path, one(f"{tasks}comptime {{ {binds} }}"), arch="wse2")
    (tile,) = program.tiles
    assert {q.color: q.id for q in tile.inputs} == dict(zip(colors, (1, 2, 3, 4, 5, 6, 7, 0, 8, 9), strict=True))
    # a color that has a queue already needs no second one
    named = "comptime { @initialize_queue(@get_input_queue(2), .{ .color = @get_color(1) }); }\n"
    program = compile_files(tmp_path, one(f"{tasks}comptime {{ {binds} }}\n{named}"), arch="wse2")
    assert {q.color: q.id for q in program.tiles[0].inputs} == {0: 1, 1: 2} | dict(
        zip(range(2, 10), (3, 4, 5, 6, 7, 0, 8, 9), strict=True)
    )


CONTROL = """
task c() void {}
comptime { @bind_control_task(c, @get_control_task_id(40)); }
"""


def test_control_tasks_get_queues_for_the_colors_that_arrive(tmp_path):
    """On WSE-2: of each tile program those with a route to its own ramp, at the start or in another position of the switch;
    none without a control task."""
    files = {
        "layout.csl": """layout {
  @set_rectangle(2, 1);
  @set_tile_code(0, 0, "left.csl");
  @set_tile_code(1, 0, "right.csl");
  const ramp = .{ .rx = .{ WEST }, .tx = .{ RAMP } };
  const past = .{ .rx = .{ RAMP }, .tx = .{ EAST } };
  @set_color_config(0, 0, @get_color(3), .{ .routes = past });
  @set_color_config(1, 0, @get_color(3), .{ .routes = ramp });
  @set_color_config(0, 0, @get_color(4), .{ .routes = ramp });
  @set_color_config(1, 0, @get_color(6), .{ .routes = .{ .rx = .{ WEST }, .tx = .{ EAST } }, .switches = .{ .pos1 = .{ .tx = RAMP } } });
}
""",
        "left.csl": CONTROL,
        "right.csl": CONTROL,
    }
    left, right = compile_files(tmp_path, files, arch="wse2").tiles
    assert {q.color: q.id for q in left.inputs} == {4: 1} and {q.color: q.id for q in right.inputs} == {3: 1, 6: 2}
    files["right.csl"] = "task c() void {}\ncomptime { @bind_local_task(c, @get_local_task_id(9)); }"
    left, right = compile_files(tmp_path, files, arch="wse2").tiles
    assert [q.color for q in left.inputs] == [4] and right.inputs == []


def test_names_of_tile_programs(tmp_path):
    """A file's first is named as it is, further ones are numbered; each has its params as text."""
    files = {
        "layout.csl": """layout {
  @set_rectangle(4, 1);
  for (@range(i16, 3)) |x| { @set_tile_code(x, 0, "pe.csl", .{ .k = x }); }
  @set_tile_code(3, 0, "other.csl");
}
""",
        "pe.csl": "param k: i16;\n",
        "other.csl": "",
    }
    program = compile_files(tmp_path, files)
    assert [(t.name, t.params) for t in program.tiles] == [
        ("pe.csl", {"k": "0"}),
        ("pe.csl#2", {"k": "1"}),
        ("pe.csl#3", {"k": "2"}),
        ("other.csl", {}),
    ]
    assert program.fabric.tile.tolist() == [[0, 1, 2, 3]]


def test_params_of_the_program(tmp_path):
    files = one("", layout="")
    files["layout.csl"] = (
        "param n: i16 = 3;\nparam on: bool;\nparam x: f32;\nparam s: comptime_string;\n" + files["layout.csl"]
    )
    program = compile_files(tmp_path, files, params={"on": True, "x": 0.5, "s": "a", "n": 4})
    assert program.params == {"n": "4", "on": "true", "x": "0.5", "s": "a"}
    with pytest.raises(MeshlangError, match="MS0217") as error:
        compile_files(tmp_path, files, params={"on": True, "x": 0.5, "s": "a", "nn": 4})
    (d,) = error.value.diagnostics
    assert d.notes == ["params: n, on, x, s"] and d.help == "did you mean 'n'?" and "has no param 'nn'" in d.message


def test_colors_of_the_command_line(tmp_path):
    files = one("")
    files["layout.csl"] = "color c;\n" + files["layout.csl"]
    for value in (0, 23):
        assert compile_files(tmp_path, files, colors={"c": value}).params["c"].endswith(str(value))
    for value in (-1, 24):
        with pytest.raises(MeshlangError, match=f"MS0404.*c is {value}, which is out of range: colors are 0 to 23"):
            compile_files(tmp_path, files, colors={"c": value})


def test_imports_inside_each_other(tmp_path):
    """As many as there may be, and one more."""

    def chain(n):
        files = one('const m = @import_module("m0.csl");\ncomptime { @comptime_assert(m.depth > 0); }\n')
        for i in range(n):
            below = f'const m = @import_module("m{i + 1}.csl");\nconst depth = m.depth + 1;\n'
            files[f"m{i}.csl"] = below if i + 1 < n else "const depth = 1;\n"
        return files

    compile_files(tmp_path, chain(MOST_IMPORTS))
    with pytest.raises(
        MeshlangError,
        match=r"MS0219.*more than 64 deep: \.\.\. m61.csl imports m62.csl imports m63.csl imports m64.csl",
    ):
        compile_files(tmp_path, chain(MOST_IMPORTS + 1))


def test_params_that_a_module_does_not_have(tmp_path):
    files = one(
        'const m = @import_module("m.csl", .{ .size = 1, .sise = 2 });\ncomptime { @comptime_assert(m.size == 1); }\n'
    )
    files["m.csl"] = "param size: i16;\n"
    (d,) = compile_files(tmp_path, files).warnings
    assert (d.code, d.message, d.help) == ("MS0216", "module 'm.csl' has no param 'sise'", "did you mean 'size'?")
    files = {"layout.csl": 'layout { @set_rectangle(1, 1); @set_tile_code(0, 0, "pe.csl", .{ .b = 1, .a = 1 }); }'}
    files["pe.csl"] = "param a: i16;\n"
    (d,) = compile_files(tmp_path, files).warnings
    assert (d.code, d.message, d.help) == ("MS0216", "pe.csl has no param 'b'", None)


def test_pes_without_code(tmp_path):
    """The first eight are named."""
    for width, more in ((9, ""), (10, ", ...")):
        with pytest.raises(MeshlangError) as error:
            compile_files(tmp_path, one("", rectangle=f"{width}, 1"))
        (d,) = error.value.diagnostics
        assert (d.code, d.message) == (
            "MS0604",
            "PEs without code: " + ", ".join(f"({x}, 0)" for x in range(1, 9)) + more,
        )


def test_memory_to_the_last_byte(tmp_path):
    """A PE's memory may be filled, and not by two bytes more."""

    def sized(n):
        return one(
            f'var x = @zeros([{n}]u16);\nvar p: [*]u16 = &x;\ncomptime {{ @export_symbol(p, "x"); }}\n',
            layout='@export_name("x", [*]u16, true);',
        )

    small = len(compile_files(tmp_path, sized(100)).tiles[0].image)
    fits = 100 + (PE_MEMORY - small) // 2
    assert len(compile_files(tmp_path, sized(fits)).tiles[0].image) in (PE_MEMORY - 2, PE_MEMORY)
    with pytest.raises(MeshlangError, match=rf"MS0701.*bytes of memory, a PE has {PE_MEMORY}"):
        compile_files(tmp_path, sized(fits + 2))


def test_a_color_that_gets_routes_at_run_time_has_none_before(tmp_path):
    """It has a place in the routers of the PEs whose code sets them, and no others."""
    files = {
        "layout.csl": """layout {
  @set_rectangle(2, 1);
  @set_tile_code(0, 0, "pe.csl");
  @set_tile_code(1, 0, "other.csl");
  @export_name("main", fn()void);
}
""",
        "pe.csl": """const tile_config = @import_module("<tile_config>");
fn main() void { tile_config.color_config.reset_routes(@get_color(7), .{ .rx = .{ RAMP }, .tx = .{ EAST } }); }
comptime { @export_symbol(main); }
""",
        "other.csl": "fn main() void {}\ncomptime { @export_symbol(main); }\n",
    }
    fabric = compile_files(tmp_path, files).fabric
    assert list(fabric.color) == [7]
    (number, none) = fabric.color[7][0].tolist()
    assert none == -1 and (fabric.configs[number].rx, fabric.configs[number].tx) == (0, 0)
    # one that the layout gives stays, at the PE that has it
    routes = "@set_color_config(0, 0, @get_color(7), .{ .routes = .{ .rx = .{ RAMP }, .tx = .{ SOUTH } } });"
    files["layout.csl"] = files["layout.csl"].replace("  @export_name", f"  {routes}\n  @export_name")
    fabric = compile_files(tmp_path, files).fabric
    assert fabric.color[7].tolist() == [[0, -1]] and (fabric.configs[0].rx, fabric.configs[0].tx) != (0, 0)


def test_functions_that_nothing_reaches(tmp_path):
    """Of the program's own files, not of libraries; what is called, exported or bound is reached."""
    code = """const m = @import_module("<math>");
fn called() i16 { return 1; }
fn main() void { _ = called(); }
fn never() void { also(); }
fn also() void {}
task t() void {}
comptime { @bind_local_task(t, @get_local_task_id(9)); @export_symbol(main); }
"""
    program = compile_files(tmp_path, one(code, layout='@export_name("main", fn()void);'))
    assert [span.file.text[span.start : span.end] for span in program.unreached] == ["never", "also"]


def test_the_recursion_limit_is_put_back():
    before = sys.getrecursionlimit()
    with deep_recursion(CompileOptions(comptime_func_depth_limit=1000)):
        assert sys.getrecursionlimit() == 60_000
    with deep_recursion(CompileOptions(comptime_func_depth_limit=10)):
        assert sys.getrecursionlimit() == max(before, 20_000)
    assert sys.getrecursionlimit() == before
