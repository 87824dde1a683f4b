"""Whatever a program does at compile time ends within seconds and in little memory, with a message at its line."""

import os
import resource
import time

import pytest

import meshlang
from meshlang.diag import MeshlangError
from meshlang.sema.analysis.loops import Loops

ROUNDS = "for (@range(u16, 60)) |i|"
CALLS = """fn f(n: i16, k: i32) i32 { if (n < 2) { return k; } return f(n - 1, 2 * k) + f(n - 2, 2 * k + 1); }
const v = f(40, 1);"""
STRINGS = f"""fn f() comptime_string {{ var s: comptime_string = "abc"; {ROUNDS} {{ s = @strcat(s, s); }} return s; }}
const v = f();"""
ENDLESS = {
    "loop in a function": ("fn f() i32 { var n: i32 = 0; while (true) { n += 1; } return n; }\nconst v = f();", "v", "MS0330", 1),
    "a long for": ("fn f() u32 { var n: u32 = 0; for (@range(u32, 4000000000)) |i| { n ^= i; } return n; }\nconst v = f();", "v", "MS0330", 1),
    "loop in a block": ("", "", "MS0330", 0),
    "calls without loops": (CALLS, "v", "MS0330", 1),
    "squares": (f"fn f() comptime_int {{ var x: comptime_int = 3; {ROUNDS} {{ x = x * x; }} return x; }}\nconst v = f();", "v", "MS0302", 1),
    "doubled strings": (STRINGS, "v", "MS0302", 1),
    "a wide shift": ("const v: comptime_int = 1 << 100000000000;", "v", "MS0302", 1),
    "a device": ('const v = @import_comptime_value(comptime_struct, "/dev/zero");', "v", "MS0901", 1),
    "a pipe": ('const v = @import_comptime_value(comptime_struct, "pipe");', "v", "MS0901", 1),
    "an import of itself": ('const v = @import_module("layout.csl");', "v", "MS0219", 1),
    "a pipe as a module": ('const v = @import_module("pipe");', "v", "MS0215", 1),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDLESS)
def test_endless_code_at_compile_time(tmp_path, name):
    before, use, code, line = ENDLESS[name]
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "pe.csl").write_text("fn f() void {}\n")
    block = "comptime { var n: i16 = 0; while (n < 1) { n = 0; } }" if not before else ""
    (tmp_path / "layout.csl").write_text(
        f'{before}\n{block}layout {{ @set_rectangle(1, 1); @set_tile_code(0, 0, "layout.csl"); {f"_ = {use};" if use else ""} }}\n'
    )
    began, memory = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(MeshlangError) as caught:
        meshlang.compile(tmp_path / "layout.csl")
    assert time.process_time() - began < 60 and resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 200_000
    first = caught.value.diagnostics[0]
    assert first.code == code and len(str(caught.value)) < 20_000
    if line is not None:
        assert first.span is not None and first.span.file.path.endswith("layout.csl")


def test_what_needs_more_gets_it(tmp_path):
    """The limit is for mistakes: who needs more says so."""
    (tmp_path / "pe.csl").write_text("fn f() void {}\n")
    (tmp_path / "layout.csl").write_text(
        "fn f() i32 { var n: i32 = 0; while (n < 7000) { n += 1; } return n; }\nconst v = f();\n"
        'layout { @set_rectangle(1, 1); @comptime_assert(v == 7000); @set_tile_code(0, 0, "pe.csl"); }\n'
    )
    with pytest.raises(MeshlangError, match="MS0330"):
        meshlang.compile(tmp_path / "layout.csl", max_comptime_work=5_000, max_inlined_iterations=1)
    meshlang.compile(tmp_path / "layout.csl", max_comptime_work=5_000, max_inlined_iterations=8_000)


ENDS_NOT = "fn f() i32 { var n: i32 = 0; while (true) { n += 1; } return n; }\n"


def test_many_endless_things_take_no_longer_than_some(tmp_path):
    """One limit for the globals of a file, and for the tile programs of a layout."""
    names = [f"v{i}" for i in range(30)]
    (tmp_path / "pe.csl").write_text(
        f"param x: i16;\n{ENDS_NOT}"
        + "".join(f"const {n} = f();\n" for n in names)
        + "".join(f"comptime {{ @comptime_assert({n} == 0); }}\n" for n in names)
    )
    (tmp_path / "layout.csl").write_text(
        'layout { @set_rectangle(90, 1); for (@range(i16, 90)) |x| { @set_tile_code(x, 0, "pe.csl", .{ .x = x }); } }\n'
    )
    rounds = []
    step = Loops.step

    def counted(self, node, limit):
        rounds.append(node)
        return step(self, node, limit)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(MeshlangError) as caught:
        patch.setattr(Loops, "step", counted)
        meshlang.compile(tmp_path / "layout.csl", max_comptime_work=4_000, max_inlined_iterations=1)
    assert {d.code for d in caught.value.diagnostics} == {"MS0330"}
    assert 4_000 < len(rounds) < 8_500


def test_functions_that_a_layout_calls_count_together(tmp_path):
    """Each below the limit of one; all together far above it."""
    (tmp_path / "pe.csl").write_text("fn f() void {}\n")
    (tmp_path / "layout.csl").write_text(
        "fn f(k: i32) i32 { var n: i32 = k; while (n < k + 900) { n += 1; } return n; }\n"
        "layout { @set_rectangle(1, 1); var s: i32 = 0; for (@range(i32, 900)) |k| { s += f(k); } "
        '@comptime_assert(s > 0); @set_tile_code(0, 0, "pe.csl"); }\n'
    )
    with pytest.raises(MeshlangError, match="MS0330.*more than 8000 rounds"):
        meshlang.compile(tmp_path / "layout.csl", max_comptime_steps=1_000, max_inlined_iterations=1)
    meshlang.compile(tmp_path / "layout.csl")
