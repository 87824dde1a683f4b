"""Which types a variable of a function may have: those of which there are values while the program runs."""

import pytest

from meshlang.diag import MeshlangError
from meshlang.host.build import build
from meshlang.sema.compiler import fixed_literals
from meshlang.syntax.parser import parse_text

LAYOUT = 'layout { @set_rectangle(1, 1); @set_tile_code(0, 0, "pe.csl"); @export_name("main", fn() void); }\n'
WHILE_COMPILING = (
    "comptime_int comptime_float comptime_string comptime_struct type imported_module anyopaque range fn()void "
    "dsr_dest dsr_src0 dsr_src1 void"
)
AT_RUN_TIME = (
    "bool i8 u16 i64 f16 f32 direction color local_task_id data_task_id input_queue output_queue *anyopaque mem1d_dsd"
)


def compiled(folder, body):
    (folder / "layout.csl").write_text(LAYOUT)
    (folder / "pe.csl").write_text(f"{body}\ncomptime {{ @export_symbol(main); }}\n")
    return build(str(folder / "layout.csl"))


@pytest.mark.parametrize("type_", WHILE_COMPILING.split())
def test_types_that_exist_while_compiling(tmp_path, type_):
    with pytest.raises(MeshlangError) as error:
        compiled(tmp_path, f"fn main() void {{ var x: {type_}; }}")
    (found,) = error.value.diagnostics
    assert (found.code, found.message) == ("MS0307", f"a run-time variable cannot have the type {type_}")


@pytest.mark.parametrize("type_", AT_RUN_TIME.split())
def test_types_of_values_at_run_time(tmp_path, type_):
    assert compiled(tmp_path, f"fn main() void {{ var x: {type_}; }}").tiles


@pytest.mark.parametrize("type_", [t for t in WHILE_COMPILING.split() if t != "void"])
def test_a_function_that_should_compute_while_compiling_and_returns_nothing(tmp_path, type_):
    with pytest.raises(MeshlangError) as error:
        compiled(tmp_path, f"fn f() {type_} {{ }}\nfn main() void {{ f(); }}")
    assert error.value.diagnostics[0].message == f"expected {type_}, found void"


@pytest.mark.parametrize(
    "own",
    ["const NORTH = SOUTH;", "var NORTH: direction = SOUTH;", "fn NORTH() void { }", "param NORTH: direction = SOUTH;"],
)
def test_a_name_of_a_direction_may_be_something_else(tmp_path, own):
    """A `.{ ... }` whose value would else be the same each time is looked at anew."""
    (tmp_path / "layout.csl").write_text(LAYOUT)
    (tmp_path / "pe.csl").write_text(
        own + "\nconst both = .{ NORTH, EAST };\nfn main() void { }\ncomptime { @export_symbol(main); }\n"
    )
    tree = parse_text((tmp_path / "pe.csl").read_text(), str(tmp_path / "pe.csl"))
    assert fixed_literals(tree) == {}
    without = parse_text("const both = .{ NORTH, EAST };", "pe.csl")
    assert list(fixed_literals(without).values()) == [True]
