"""Expressions of the REPL over the variables of a PE, each against its value in Python; what is refused says why."""

from __future__ import annotations

import numpy as np
import pytest
from two_pes import MAIN, layout

from meshlang.diag import MeshlangError
from meshlang.fabric.machine import Machine
from meshlang.host.build import build
from meshlang.inspect.expressions import Evaluator, parse

PE = """\
param memcpy_params; param link: color; param sends: bool;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
var v = [4]i16{ 10, -20, 30, -40 };
var m = [2, 3]f32{ 1.5, 2.5, 3.5, 4.5, 5.5, 6.5 };
var bytes = [3]u8{ 1, 2, 255 };
var half: f16 = 0.5;
var flag: bool = true;
var n: i16 = -7;
var big: u32 = 4000000000;
var p: [*]i16 = &v;
var second: *i16 = &v[1];
var w = [3]f32{ 4.5, 5.5, 6.5 };
var row: [*]f32 = &w;
var end: [*]u8 = &bytes;
var pair = .{ .a = @as(i16, 5), .b = @as(f32, 0.25) };
fn main() void {
  p[0] = v[0]; second.* = v[1]; row[0] = w[0]; m[0, 0] = 1.5; end[0] = bytes[0]; pair.a = 5; half += 0.0; flag = true; n = -7; big = 4000000000;
  sys.unblock_cmd_stream();
}
comptime { @export_symbol(main); }
"""


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory):
    folder = tmp_path_factory.mktemp("expressions")
    (folder / "layout.csl").write_text(layout(MAIN))
    (folder / "pe.csl").write_text(PE)
    machine = Machine(build(str(folder / "layout.csl")))
    machine.launch("main")
    machine.run()
    return Evaluator(machine, 1, 0)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-n", 7),
        ("~n", 6),
        ("!flag", False),
        ("!n", False),
        ("-half", -0.5),
        ("v[3]", -40),
        ("m[1, 2]", 6.5),
        ("p[2]", 30),
        ("p[0] + p[3]", -30),
        ("second.*", -20),
        ("p.*", 10),
        ("row[2]", 6.5),
        ("row.* * 2", 9.0),
        ("end[2]", 255),
        ("big + 1", 4000000001),
        ("n / 2", -3),
        ("n % 2", -1),
        ("7 / -2", -3),
        ("-8 / -2", 4),
        ("half / 2", 0.25),
        ("half % 0.375", 0.125),
        ("n < 0 and flag", True),
        ("n > 0 and missing", False),
        ("n < 0 or missing", True),
        ("n > 0 or flag", True),
        ("1 << 3 | 1", 9),
        ("12 >> 2 & 3", 3),
        ("5 ^ 1", 4),
        ("n == -7", True),
        ("n != -7", False),
        ("n <= -7", True),
        ("n >= -6", False),
        ("1 << 63", 1 << 63),
    ],
)
def test_value(evaluator, text, value):
    found = evaluator.value(parse(text))
    assert found == value and isinstance(found, type(value))


@pytest.mark.parametrize(
    ("text", "value"), [("v", [10, -20, 30, -40]), ("v * 2", [20, -40, 60, -80]), ("m[0]", [1.5, 2.5, 3.5])]
)
def test_arrays(evaluator, text, value):
    found = evaluator.value(parse(text))
    assert isinstance(found, np.ndarray) and found.tolist() == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("v[4]", "index 4 is outside an array of 4"),
        ("v[-1]", "index -1 is outside"),
        ("v[0.5]", "an index must be an integer"),
        ("v[flag]", "an index must be an integer"),
        ("v[0, 0]", "no such index"),
        ("n[0]", "no such index"),
        ("n.*", "n is i16, no pointer"),
        ("p[4]", "that element is outside it"),
        ("p[-1]", "that element is outside it"),
        ("p[0, 1]", "a pointer takes one index"),
        ("second[3]", "that element is outside it"),
        ("end[3]", "that element is outside it"),
        ("1 << 64", "a shift by 64 is outside 0 to 63"),
        ("1 >> -1", "a shift by -1 is outside 0 to 63"),
        ("n / 0", "division by zero"),
        ("n % 0", "division by zero"),
        ("half & 1", "`&` is not possible"),
        ("@sqrt(half)", "a builtin is not possible here"),
        ("main()", "a call is not possible here"),
        ("missing", "missing"),
        ("(v[0]).x", "only names can be qualified"),
        ("big * big * big * big * big * big * big * big * big", "too large"),
    ],
)
def test_refused(evaluator, text, why):
    with pytest.raises(MeshlangError) as info:
        evaluator.value(parse(text))
    assert why in info.value.diagnostics[0].message


def test_nothing_to_evaluate():
    with pytest.raises(MeshlangError, match="an expression is missing"):
        parse("  ")
