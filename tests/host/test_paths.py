"""meshlang.host.paths: hops by the routes of a compiled program; the chains of the K-tree."""

from __future__ import annotations

import pytest

import meshlang
from meshlang.host.paths import ktree_chains, longest_route

LAYOUT = """
param N: i16 = 6;
param stages: i16 = 0;
param gap: bool = false;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = N, .height = 1 });
const c = @get_color(0);
const d = @get_color(1);
const tree = @import_module("<comm/ktree_layout>", .{ .N = N, .K = 3,
  .colors = [7]color{ @get_color(2), @get_color(3), @get_color(4), @get_color(5), @get_color(6), @get_color(7), @get_color(8) } });
layout {
  @set_rectangle(N, 1);
  @comptime_assert(stages == 0 or tree.stages == stages);
  for (@range(i16, N)) |x| {
    @set_tile_code(x, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(0) });
    const rx = if (x == 0) RAMP else WEST;
    const tx = if (x == N - 1) RAMP else EAST;
    if (!gap or x != 3) { @set_color_config(x, 0, c, .{ .routes = .{ .rx = .{rx}, .tx = .{tx} } }); }
  }
  @set_color_config(2, 0, d, .{ .routes = .{ .rx = .{RAMP}, .tx = .{ EAST, WEST } } });
  @set_color_config(1, 0, d, .{ .routes = .{ .rx = .{EAST}, .tx = .{ RAMP, WEST } } });
  @set_color_config(0, 0, d, .{ .routes = .{ .rx = .{EAST}, .tx = .{RAMP} } });
  @set_color_config(3, 0, d, .{ .routes = .{ .rx = .{WEST}, .tx = .{RAMP} } });
}
"""


@pytest.fixture
def build(tmp_path):
    (tmp_path / "layout.csl").write_text(LAYOUT)
    (tmp_path / "pe.csl").write_text(
        'param memcpy_params;\nconst sys = @import_module("<memcpy/memcpy>", memcpy_params);\n'
    )
    return lambda **params: meshlang.compile(tmp_path / "layout.csl", params=params)


def test_longest_route(build):
    program = build()
    assert (longest_route(program), longest_route(program, {0}), longest_route(program, [1])) == (5, 5, 2)
    assert longest_route(program, {9}) == 0


def test_a_gap(build):
    with pytest.raises(meshlang.MeshlangError) as found:
        longest_route(build(gap=True))
    assert (
        found.value.diagnostics[0].code == "MS0980"
        and "sent by PE 0,0, ends at 3,0" in found.value.diagnostics[0].message
    )


@pytest.mark.parametrize(
    "N, chains", [(6, [1, 1, 1]), (8, [1, 1, 1]), (27, [1, 1, 1]), (30, [2, 1, 1]), (64, [2, 2, 2])]
)
def test_chains_are_the_layouts(build, N, chains):
    assert ktree_chains(N, 3) == chains
    build(N=N, stages=sum(chains))


def test_chains_with_groups():
    assert ktree_chains(80, 2, 8) == [5, 4] and ktree_chains(16, 1) == [8]
