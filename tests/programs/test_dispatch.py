"""programs/dispatch: tokens to the regions of their experts, in three ways (<comm/alltoall_pe> with sizes, <comm/sift_...>): every column has
what it wants, to the last bit, twice in a row; the program checks it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import meshlang
from meshlang.cli import main

DISPATCH = Path(__file__).resolve().parents[2] / "programs/dispatch"
WAYS = ["ring", "alltoall", "multicast"]


@pytest.mark.parametrize(
    "W, H, n, tokens, experts, chosen, regions, f32, arch",
    [
        (2, 1, 2, 1, 4, 1, 2, False, "wse3"),  # a region that no token wants
        (5, 2, 3, 7, 8, 3, 2, True, "wse2"),  # a column that is left over
        (8, 1, 4, 6, 16, 2, 8, False, "wse2"),
        (7, 2, 6, 3, 4, 4, 1, False, "wse3"),  # all want all
    ],
)
def test_columns_have_what_they_want(W, H, n, tokens, experts, chosen, regions, f32, arch, capsys):
    numbers = {"W": W, "H": H, "n": n, "tokens": tokens, "experts": experts, "chosen": chosen, "regions": regions}
    given = [a for name, value in numbers.items() for a in ("-p", f"{name}={value}")]
    assert main(["run", str(DISPATCH), "--arch", arch, "--json", *given, "-p", f"f32={str(f32).lower()}"]) == 0
    cycles = json.loads(capsys.readouterr().out)["results"]["cycles"]
    assert all(found[way] > 0 for found in cycles.values() for way in WAYS)


def test_stated_cost():
    """Of buses and filters: 2 colors, 2 input and 2 output queues, 3 local tasks, no vector of their own."""
    W, n, tokens, regions = 6, 4, 5, 3
    params = {"W": W, "H": 1, "n": n, "tokens": tokens, "regions": regions, "f32_data": False, "way": 2}
    program = meshlang.compile(str(DISPATCH / "layout.csl"), arch="wse3", params=params).ir
    assert len(program.fabric.color) == 2
    elements = tokens * n * (1 + 2 * W + regions) + regions * (1 + tokens) + W
    for tile in program.tiles:
        assert (len(tile.inputs), len(tile.outputs), len(tile.tasks)) == (2, 2, 3)
        assert max(o.address + o.size for o in tile.objects) <= 2 * elements + 100


@pytest.mark.parametrize(
    "more, message",
    [
        ("regions=3", "3 regions: at most 8, the columns, and a divisor of 16 experts"),
        ("chosen=17", "a token chooses at most all 16 experts"),
        ("tokens=0", "tokens must be positive"),
        ("ways=walk", "ways are ring, alltoall, multicast"),
        ("n=3", "f16 vectors have an even number of elements"),
    ],
)
def test_mistakes(more, message, capsys):
    assert main(["run", str(DISPATCH), "-p", more]) != 0
    out = capsys.readouterr()
    assert message in out.out + out.err
