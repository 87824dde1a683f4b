"""<math> against numpy in double precision: the double result rounded once."""

from __future__ import annotations

import numpy as np
import pytest

POSITIVE = np.array([1e-3, 0.1, 0.5, 1.0, 1.5, 2.0, 3.14159, 10.0, 77.7, 1234.5])
ANY = np.concatenate([-POSITIVE[::-1], [0.0], POSITIVE])
DTYPES = {"f16": np.float16, "f32": np.float32}
FUNCTIONS = {
    "sqrt": (np.sqrt, POSITIVE),
    "exp": (np.exp, ANY[np.abs(ANY) < 11]),
    "log": (np.log, POSITIVE),
    "sin": (np.sin, ANY),
    "cos": (np.cos, ANY),
    "tanh": (np.tanh, ANY),
    "floor": (np.floor, ANY),
    "ceil": (np.ceil, ANY),
    "abs": (np.abs, ANY),
    "inv": (lambda x: 1 / x, POSITIVE),
    "invsqrt": (lambda x: 1 / np.sqrt(x), POSITIVE),
}


@pytest.mark.parametrize("type_name", ["f16", "f32"])
def test_functions(one_pe, type_name):
    dtype = DTYPES[type_name]
    source, arrays, inputs, expected = 'const math = @import_module("<math>");\nfn main() void {\n', {}, {}, {}
    for name, (fn, points) in FUNCTIONS.items():
        x = points.astype(dtype)
        arrays[f"{name}_in"] = arrays[f"{name}_out"] = arrays[f"{name}_generic"] = (type_name, len(x))
        inputs[f"{name}_in"] = x
        with np.errstate(over="ignore"):
            expected[name] = fn(x.astype(np.float64)).astype(dtype)
        source += (
            f"  for (@range(u16, {len(x)})) |i| {{\n    {name}_out[i] = math.{name}_{type_name}({name}_in[i]);\n"
            f"    {name}_generic[i] = math.{name}({name}_in[i]);\n  }}\n"
        )
    out = one_pe(source + "  sys.unblock_cmd_stream();\n}\n", arrays, inputs)
    for name, want in expected.items():
        # both come from a double result; C libraries may differ in its last bit, which can move a rounding by one step
        np.testing.assert_array_max_ulp(out[f"{name}_out"], want, maxulp=1)
        np.testing.assert_array_equal(out[f"{name}_out"], out[f"{name}_generic"])


def test_integers_and_classification(one_pe):
    out = one_pe(
        """
const math = @import_module("<math>");
fn main() void {
  var n: i16 = -7;
  var inf: f32 = math.POSITIVE_INF_f32;
  var nan: f32 = math.NaN_f32;
  var one: f32 = 1.0;
  var half: f16 = -2.5;
  r[0] = math.abs(n);
  r[1] = math.min(n, 3);
  r[2] = math.max(n, 3);
  r[3] = math.sign(n);
  r[4] = @as(i16, math.isNaN(nan));
  r[5] = @as(i16, math.isNaN(one));
  r[6] = @as(i16, math.isInf(inf));
  r[7] = @as(i16, math.isFinite(inf));
  r[8] = @as(i16, math.isFinite(one));
  r[9] = @as(i16, math.signbit(half));
  r[10] = @as(i16, math.sign(half));
  r[11] = @as(i16, math.fscale(one, 5));
  r[12] = @as(i16, math.pow(one + 1.0, 10.0));
  sys.unblock_cmd_stream();
}
""",
        {"r": ("i16", 13)},
    )
    assert out["r"].tolist() == [7, -7, 3, -1, 1, 0, 1, 0, 1, 1, -1, 32, 1024]


def test_comptime(one_pe):
    out = one_pe(
        """
const math = @import_module("<math>");
const table = [3]f32{ math.sqrt_f32(2.0), math.floor_f32(-1.5), math.PI };
const third: i16 = @as(i16, math.floor_f16(@as(f16, 7) / @as(f16, 2)));
fn main() void {
  for (@range(u16, 3)) |i| { r[i] = table[i]; }
  r[3] = @as(f32, third);
  sys.unblock_cmd_stream();
}
""",
        {"r": ("f32", 4)},
    )
    np.testing.assert_array_equal(out["r"], np.array([np.sqrt(2.0), -2.0, np.pi, 3.0], dtype=np.float32))


def test_literals_as_operands(one_pe):
    """min, max and pow take a literal on either side, and mixed widths as + does; literals alone keep the precision of
    double."""
    out = one_pe(
        """
const math = @import_module("<math>");
const root: f32 = math.sqrt(2.0) * math.sqrt(2.0) - 2.0;
comptime { @comptime_assert(@type_of(math.min(1, 2)) == comptime_int and math.max(3, 4) == 4); }
var small: i16 = 12; var big: i32 = 100000; var x: f32 = 3.0;
fn main() void {
  r[0] = @as(f32, math.min(20, small));
  r[1] = @as(f32, math.max(small, 20));
  r[2] = @as(f32, math.max(small, big));
  r[3] = math.pow(2.0, x);
  r[4] = math.pow(x, 2.0);
  r[5] = math.min(1.0, x);
  r[6] = root;
  sys.unblock_cmd_stream();
}
""",
        {"r": ("f32", 7)},
    )
    np.testing.assert_array_equal(
        out["r"], np.array([12, 20, 100000, 8, 9, 1, np.sqrt(2.0) * np.sqrt(2.0) - 2], dtype=np.float32)
    )
