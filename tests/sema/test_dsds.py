"""DSDs: tensor accesses against the walk they stand for, and the rows that operations become."""

import itertools

import numpy as np
from compiling import compile_files
from hypothesis import given, settings
from hypothesis import strategies as st

from meshlang.ir.dsdops import DsdOpCode
from meshlang.ir.isa import DsdKind, Op, Operand, Simd
from meshlang.ir.words import Dsd, OperationRow


def packed(tile) -> list[int]:
    """The DSD constants of a program's code, in order: LDI, and LDIH for what does not fit 32 bits."""
    code, out = tile.code.tolist(), []
    for (w, a, low, _), (w2, a2, high, _) in itertools.pairwise(code):
        if w & 0xFF == Op.LDI:
            both = w2 & 0xFF == Op.LDIH and a == a2
            out.append((low & 0xFFFFFFFF) | (high & 0xFFFFFFFF) << 32 if both else low)
    return [w for w in out if w > 0xFFFF and DsdKind.MEM1D <= Dsd.kind.get(w) <= DsdKind.FABOUT]


def signed(v: int) -> int:
    return v - 0x10000 if v & 0x8000 else v


def walk(extents, strides) -> list[int]:
    """Element offsets of a mem4d walk: strides are jumps, innermost first (facts 6.4)."""
    rank, at, out = len(extents), 0, []
    index = [0] * rank
    for _ in range(int(np.prod(extents))):
        out.append(at)
        d = rank - 1
        while d >= 0:
            index[d] += 1
            if index[d] < extents[d]:
                at += strides[rank - 1 - d]
                break
            index[d] = 0
            d -= 1
    return out


def test_a_tensor_access_of_one_dimension(tmp_path):
    tile = compile_files(
        tmp_path,
        """
var before: [3]f32;
var a: [4, 5]f32;
fn main() void {
  before[0] = 1.0;
  @fmovs(@get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> a[i, 2] }), 1.0);
  @fmovs(@get_dsd(mem1d_dsd, .{ .tensor_access = |i|{3} -> a[3 - i, 2 * i + 1] }), 1.0);
  @fmovs(@get_dsd(mem1d_dsd, .{ .base_address = &a[1, 1], .extent = 7, .stride = -2, .offset = 3 }), 1.0);
  @fmovs(@get_dsd(mem1d_dsd, .{ .base_address = &a, .extent = 2 }), 1.0);
}""",
    ).tiles[0]
    a = next(o.address for o in tile.objects if o.name == "a")
    got = [((Dsd.base.get(d) - a) // 4, Dsd.len.get(d), Dsd.stride.get(d), Dsd.tag.get(d)) for d in packed(tile)]
    assert got == [(2, 4, 5, 2), (16, 3, -3, 2), (9, 7, -2, 2), (0, 2, 1, 2)]


coefficient = st.integers(-3, 3)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
def test_a_tensor_access_of_several_dimensions(tmp_path_factory, extents, data):
    """Any affine access: the walk over jump strides equals the loop nest it abbreviates."""
    rank = len(extents)
    rows, columns = [([data.draw(coefficient) for _ in range(rank)], data.draw(st.integers(0, 9))) for _ in range(2)]
    names = "ijkl"[:rank]

    def expr(k):
        coefficients, constant = k
        return " + ".join([*(f"{c} * {n}" for c, n in zip(coefficients, names)), str(constant)])

    access = f"|{', '.join(names)}|{{{', '.join(map(str, extents))}}} -> a[{expr(rows)}, {expr(columns)}]"
    tile = compile_files(
        tmp_path_factory.mktemp("t"),
        f"""
var a: [100, 7]u16;
fn main() void {{ @mov16(@get_dsd(mem4d_dsd, .{{ .tensor_access = {access} }}), 1); }}""",
    ).tiles[0]
    (word,) = packed(tile)
    assert Dsd.kind.get(word) == DsdKind.MEM4D
    n, *table = tile.mem4d[Dsd.len.get(word)].tolist()
    assert n == rank and table[:rank] == extents
    a = next(o.address for o in tile.objects if o.name == "a")
    start = signed(Dsd.base.get(word) - a & 0xFFFF) // 2
    want = [
        sum(c * x for c, x in zip(rows[0], at)) * 7
        + rows[1] * 7
        + sum(c * x for c, x in zip(columns[0], at))
        + columns[1]
        for at in itertools.product(*map(range, extents))
    ]
    assert [start + w for w in walk(extents, table[4 : 4 + rank])] == want


def test_the_documented_example_of_jump_strides(tmp_path):
    tile = compile_files(
        tmp_path,
        """
var a: [20]f32;
fn main() void { @fmovs(@get_dsd(mem4d_dsd, .{ .tensor_access = |i, j|{5, 5} -> a[2 * i + j] }), 0.0); }""",
    ).tiles[0]
    assert tile.mem4d.tolist() == [[2, 5, 5, 1, 1, 1, -2, 0, 0]]


def test_rows_of_operations(tmp_path):
    tile = compile_files(
        tmp_path,
        """
var a: [8]f32; var b: [8]f32; var s: f32;
const da = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{8} -> a[i] });
const db = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{8} -> b[i] });
const in = @get_dsd(fabin_dsd, .{ .extent = 8, .fabric_color = @get_color(3), .input_queue = @get_input_queue(5) });
const out = @get_dsd(fabout_dsd, .{ .extent = 8, .fabric_color = @get_color(4), .simd_mode = .{ .simd_64 = true } });
task done() void { }
comptime { @bind_local_task(done, @get_local_task_id(9)); }
fn main() void {
  @fmacs(da, da, db, s);
  @fadds(&s, s, da);
  @fmovs(da, in, .{ .async = true, .activate = done });
  @fmuls(out, db, 2.0, .{ .async = true, .unblock = @get_local_task_id(9) });
  @fmovs(@get_dsr(dsr_dest, 3), @get_dsr(dsr_src1, 3));
  @fmacs(da, da, db, 1.0);
}""",
    ).tiles[0]
    D, V, s, P = Operand.DSD, Operand.DSD, Operand.SCALAR, Operand.POINTER
    rows = tile.dsd_ops.tolist()
    assert [r[OperationRow.code] for r in rows] == [
        DsdOpCode.FMACS,
        DsdOpCode.FADDS,
        DsdOpCode.FMOVS,
        DsdOpCode.FMULS,
        DsdOpCode.FMOVS,
    ]
    assert [tuple(r[c] for c in range(OperationRow.dst, OperationRow.dst + 4)) for r in rows] == [
        (D, V, V, s),
        (P, s, V, 0),
        (D, V, 0, 0),
        (D, V, s, 0),
        (Operand.DSR, Operand.DSR, 0, 0),
    ]
    assert [(r[OperationRow.async_], r[OperationRow.action]) for r in rows] == [(0, 0), (0, 0), (1, 1), (1, 2), (0, 0)]
    assert tile.dsrs == [("dest", 3), ("src1", 3)]
    words = packed(tile)
    fabin = next(w for w in words if Dsd.kind.get(w) == DsdKind.FABIN)
    fabout = next(w for w in words if Dsd.kind.get(w) == DsdKind.FABOUT)
    assert (Dsd.queue.get(fabin), Dsd.color.get(fabin), Dsd.len.get(fabin), Dsd.simd.get(fabin)) == (
        5,
        3,
        8,
        Simd.OFF,
    )
    assert (Dsd.color.get(fabout), Dsd.simd.get(fabout)) == (4, Simd.SIMD_64)
    assert [(q.id, q.color) for q in tile.inputs] == [(5, 3)]


def test_comptime_edits_need_no_code(tmp_path):
    tile = compile_files(
        tmp_path,
        """
var a: [8]f32; var b: [8]f16;
const d = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{8} -> a[i] });
const e = @set_dsd_length(@increment_dsd_offset(@set_dsd_stride(d, 2), 3, f32), 2);
const h = @set_dsd_base_addr(d, b);
fn main() void { a[0] = 1.0; @fmovs(e, 0.0); @fmovh(h, 0.0); }""",
    ).tiles[0]
    a, b = (next(o.address for o in tile.objects if o.name == n) for n in "ab")
    got = [(Dsd.base.get(d), Dsd.len.get(d), Dsd.stride.get(d), Dsd.tag.get(d)) for d in packed(tile)]
    assert got == [(a + 12, 2, 2, 2), (b, 8, 1, 1)]
    assert not {Op.DBASE, Op.DINC, Op.DLEN, Op.DSTRIDE} & {Op(w & 0xFF) for w in tile.code[:, 0].tolist()}


def test_run_time_edits(tmp_path):
    tile = compile_files(
        tmp_path,
        """
var a: [8]f32; var n: u16 = 2; var k: i16 = 1; var p: [*]f16 = &b; var b: [4]f16;
fn main() void {
  var d = @get_dsd(mem1d_dsd, .{ .base_address = &a, .extent = n });
  d = @increment_dsd_offset(d, k, f32);
  d = @set_dsd_length(d, n);
  d = @set_dsd_base_addr(d, p);
  @fmovh(d, 0.0);
}""",
    ).tiles[0]
    assert [Op(w & 0xFF) for w in tile.code[:, 0].tolist() if w & 0xFF in (Op.DBASE, Op.DINC, Op.DLEN)] == [
        Op.DLEN,
        Op.DINC,
        Op.DLEN,
        Op.DBASE,
    ]
