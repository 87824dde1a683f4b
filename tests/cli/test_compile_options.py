"""The options of a compilation: one record, the same options at every command."""

from __future__ import annotations

from dataclasses import fields

import pytest

import meshlang
from meshlang.cli import build_parser, main
from meshlang.commands import _compile
from meshlang.host.context import RunContext, set_context
from meshlang.sema.model.options import CompileOptions

DEEP = """fn deep(n: i16) i16 { if (n == 0) { return 0; } return deep(n - 1) + 1; }
param n: i16;
const x = deep(n);
layout { @comptime_assert(x == n); @set_rectangle(1, 1); @set_tile_code(0, 0, "pe.csl"); }
"""
LONG = """param n: i16;
fn main() void { var x: i16 = 0; inline for (@range(i16, n)) |i| { x += i; } }
comptime { @export_symbol(main); }
"""
EVERY = {
    "--arch": "wse3",
    "--import-path": "lib",
    "--fabric-dims": "9,4",
    "--fabric-offsets": "4,1",
    "--fp16-format": "f16",
    "--max-inlined-iterations": "7",
    "--comptime-func-depth-limit": "8",
    "-O": "0",
    "--no-cache": None,
}


@pytest.mark.parametrize("command", ["run", "check", "lint", "report", "profile", "repl", "cslc"])
def test_every_command_takes_them(command):
    assert set(EVERY) == {f.metadata["flags"][-1] for f in fields(CompileOptions) if f.metadata}
    given = [word for flag, value in EVERY.items() for word in (flag, value) if word is not None]
    args = build_parser().parse_args([command, "layout.csl", *given])
    assert _compile.given(args) == {
        "arch": "wse3",
        "import_paths": ["lib"],
        "fabric_dims": (9, 4),
        "fabric_offsets": (4, 1),
        "fp16_format": "f16",
        "max_inlined_iterations": 7,
        "comptime_func_depth_limit": 8,
        "optimise": 0,
        "cache": False,
    }


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "layout.csl").write_text(DEEP)
    (tmp_path / "pe.csl").write_text("fn main() void {}\n")
    return tmp_path


def check(*arguments: object) -> int:
    return main(["check", *map(str, arguments)])


def test_depth_of_comptime_calls(folder, capsys):
    assert check(folder, "-p", "n=300") == 1
    assert "--comptime-func-depth-limit raises the limit" in capsys.readouterr().err
    assert check(folder, "-p", "n=300", "--comptime-func-depth-limit", 400) == 0
    assert check(folder, "-p", "n=3000", "--comptime-func-depth-limit", 4000) == 0


def test_rounds_of_unrolled_loops(folder, capsys):
    (folder / "layout.csl").write_text(
        'param n: i16;\nlayout { @set_rectangle(1, 1); @set_tile_code(0, 0, "pe.csl", .{ .n = n });\n'
        '  @export_name("main", fn()void); }\n'
    )
    (folder / "pe.csl").write_text(LONG)
    assert check(folder, "-p", "n=300", "--max-inlined-iterations", 200) == 1
    assert "--max-inlined-iterations raises the limit" in capsys.readouterr().err
    assert check(folder, "-p", "n=300", "--max-inlined-iterations", 300) == 0


def test_the_comptime_limit_is_raised_too():
    assert CompileOptions().comptime_limit == 20_000_000
    assert CompileOptions(max_inlined_iterations=30_000_000).comptime_limit == 30_000_000


@pytest.mark.parametrize("flag", ["--max-inlined-iterations", "--comptime-func-depth-limit"])
def test_limits_are_at_least_one(folder, capsys, flag):
    assert check(folder, "-p", "n=1", flag, 0) == 2
    assert "expected at least 1" in capsys.readouterr().err


def test_python_and_the_command_line(folder):
    """What a script leaves out is what the command line says; import paths are those of both."""
    (folder / "a").mkdir()
    (folder / "b").mkdir()
    (folder / "a" / "one.csl").write_text("const n = 1;\n")
    (folder / "b" / "two.csl").write_text("const n = 2;\n")
    (folder / "pe.csl").write_text(
        'const one = @import_module("<one>");\nconst two = @import_module("<two>");\n'
        "comptime { @comptime_assert(one.n + two.n == 3); }\n"
    )
    set_context(RunContext(options={"arch": "wse3", "import_paths": [str(folder / "a")]}))
    try:
        program = meshlang.compile(folder, params={"n": 1}, import_paths=[str(folder / "b")], fabric_dims=None)
        assert program.ir.arch == "wse3"
        assert (
            meshlang.compile(folder, params={"n": 1}, arch="wse2", import_paths=[str(folder / "b")]).ir.arch == "wse2"
        )
    finally:
        set_context(RunContext())
    with pytest.raises(TypeError, match="max_rounds"):
        meshlang.compile(folder, max_rounds=3)
