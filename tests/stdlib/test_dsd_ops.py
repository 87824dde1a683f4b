"""<dsd_ops>: every function for every type it takes, against numpy; and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from meshlang.diag import MeshlangError

NUMPY = {"f16": np.float16, "f32": np.float32, "i16": np.int16, "u16": np.uint16, "i32": np.int32, "u32": np.uint32}
A = [3, -2, 5, 0, 7, -8]
B = [1, 4, -3, 2, -7, 6]


def vectors(**types: str) -> str:
    return "".join(f"const d{n} = @get_dsd(mem1d_dsd, .{{ .tensor_access = |i|{{6}} -> {n}[i] }});\n" for n in types)


def run(one_pe, body: str, Tdst: str, T0: str, T1: str | None = None) -> np.ndarray:
    types = {"r": Tdst, "a": T0, "b": T1 or T0}
    source = f"""
const ops = @import_module("<dsd_ops>");
{vectors(**types)}
var whole = true;
fn main() void {{
  whole = whole and {body};
  @assert(whole);
  sys.unblock_cmd_stream();
}}
"""
    arrays = {n: (t, 6) for n, t in types.items()}
    inputs = {"a": np.array(A).astype(NUMPY[T0]), "b": np.array(B).astype(NUMPY[types["b"]])}
    return one_pe(source, arrays, inputs)["r"]


@pytest.mark.parametrize("T", NUMPY)
def test_mov(one_pe, T):
    np.testing.assert_array_equal(run(one_pe, f"ops.mov({T}, dr, da, .{{}})", T, T), np.array(A).astype(NUMPY[T]))


@pytest.mark.parametrize("Tdst", ["f16", "f32", "i16"])
@pytest.mark.parametrize("Tsrc", ["f16", "f32", "i16"])
def test_convert(one_pe, Tdst, Tsrc):
    np.testing.assert_array_equal(run(one_pe, f"ops.convert({Tdst}, {Tsrc}, dr, da, .{{}})", Tdst, Tsrc), np.array(A))


@pytest.mark.parametrize("Tdst, Tsrc", [("f16", "f16"), ("f32", "f32"), ("i16", "i16"), ("u16", "u16"), ("f32", "f16")])
def test_add(one_pe, Tdst, Tsrc):
    first = Tdst  # @faddhs adds an f16 to an f32
    got = run(one_pe, f"ops.add({Tdst}, {Tsrc}, dr, da, db, .{{}})", Tdst, first, Tsrc)
    np.testing.assert_array_equal(got, (np.array(A) + np.array(B)).astype(NUMPY[Tdst]))


@pytest.mark.parametrize("T", ["f16", "f32", "i16", "u16"])
def test_sub(one_pe, T):
    np.testing.assert_array_equal(
        run(one_pe, f"ops.sub({T}, dr, da, db, .{{}})", T, T), (np.array(A) - np.array(B)).astype(NUMPY[T])
    )


@pytest.mark.parametrize("T", ["f16", "f32"])
def test_float_operations(one_pe, T):
    a, b = np.array(A), np.array(B)
    cases = {
        f"ops.mul({T}, dr, da, db, .{{}})": a * b,
        f"ops.mul({T}, dr, da, 0.5, .{{}})": a * 0.5,
        f"ops.fmac({T}, {T}, dr, da, db, 3.0, .{{}})": a + 3 * b,
        f"ops.neg({T}, dr, da, .{{}})": -a,
        f"ops.abs({T}, dr, da, .{{}})": abs(a),
        f"ops.max({T}, dr, da, db, .{{}})": np.maximum(a, b),
        f"ops.scale({T}, &r[0], 3.0, 4, .{{}})": np.array([48, 0, 0, 0, 0, 0]),
        f"ops.add({T}, {T}, &r[0], 1.0, da, .{{}})": np.array([1 + a.sum(), 0, 0, 0, 0, 0]),
    }
    for body, want in cases.items():
        np.testing.assert_array_equal(run(one_pe, body, T, T), want, err_msg=body)


def test_fmac_of_halves_into_floats_and_norm(one_pe):
    np.testing.assert_array_equal(
        run(one_pe, "ops.fmac(f32, f16, dr, da, db, 3.0, .{})", "f32", "f32", "f16"), np.array(A) + 3 * np.array(B)
    )
    for T in ("f16", "f32"):
        got = run(one_pe, f"ops.norm({T}, &r[0], 12.0, .{{}})", T, T)[0]
        plain = run(one_pe, f"@fnorm{'h' if T == 'f16' else 's'}(&r[0], 12.0)", T, T)[0]
        assert got == plain != 0


@pytest.mark.parametrize(
    "body, text",
    [
        ("ops.mov(u8, dr, da, .{})", "dsd_ops.mov moves"),
        ("ops.mul(i16, dr, da, db, .{})", "dsd_ops.mul multiplies floats"),
        ("ops.convert(u32, f32, dr, da, .{})", "dsd_ops.convert converts between"),
        ("ops.add(i16, u16, dr, da, db, .{})", "dsd_ops.add adds"),
    ],
)
def test_other_types_are_refused(one_pe, body, text):
    with pytest.raises(MeshlangError) as e:
        run(one_pe, body, "i16", "i16")
    assert text in e.value.diagnostics[0].message
