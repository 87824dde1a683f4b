"""Where things lie in the pictures of a run: boxes around their PEs, arrows on their links, between whom they tell of."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from meshlang.inspect.trace import picture


def mesh_of(w, h, x0=0, y0=0):
    trace = SimpleNamespace(box=(x0, y0, w, h), mask=np.ones((h, w), bool), of_box=lambda all_: all_)
    return picture._Mesh(trace)


def points(path):
    """The corners of an SVG path."""
    return [tuple(map(float, p.split())) for p in re.findall(r"[ML]([-\d.]+ [-\d.]+)", path)]


def rect(text):
    return {k: float(v) for k, v in re.findall(r'(?<= )(x|y|width|height)="([-\d.]+)"', text)}


@pytest.mark.parametrize(("w", "h"), [(4, 3), (2, 9), (40, 5)])
def test_a_box_is_around_its_pe_and_within_its_cell(w, h):
    mesh = mesh_of(w, h, x0=3, y0=1)
    cells = list(mesh.cells(lambda cell: ""))
    for cell in (0, w - 1, w * h - 1):
        y, x = divmod(cell, w)
        (box,) = picture._waits(mesh, {"waits": [{"pes": [(3 + x, 1 + y), (99, 99)], "chain": []}]})
        outer, inner = rect(box), rect(cells[cell])
        for side, size, middle in zip("xy", ("width", "height"), mesh.middle(cell)):
            for found in (outer, inner):
                assert found[side] + found[size] / 2 == pytest.approx(middle, abs=0.11)
            assert inner[size] < outer[size] < mesh.size or mesh.size < 16


def test_cells_are_side_by_side_and_the_mesh_in_the_middle():
    mesh = mesh_of(4, 3)
    assert [mesh.middle(cell) for cell in (1, 4)] == [
        (mesh.middle(0)[0] + mesh.size, mesh.middle(0)[1]),
        (mesh.middle(0)[0], mesh.middle(0)[1] + mesh.size),
    ]
    assert mesh.middle(0)[0] + mesh.middle(3)[0] == pytest.approx(mesh.width)
    assert [mesh.cell(place) for place in ((0, 0), (3, 2), (4, 0), (0, 3), (-1, 0))] == [0, 11, None, None, None]


@pytest.mark.parametrize(
    ("a", "b"), [((0, 1), (1, 1)), ((2, 1), (1, 1)), ((1, 0), (1, 2)), ((1, 2), (1, 1)), ((0, 0), (3, 2))]
)
def test_an_arrow_tells_who_waits_for_whom(a, b):
    """It lies on the right of the line from one middle to the other, so that two that wait for each other are two arrows; its
    head is at the one that is waited for, its number beside it."""
    mesh = mesh_of(4, 3)
    arrow, number = picture._waits(mesh, {"waits": [{"pes": [], "chain": [(a, b)]}]})
    here, there = (np.array(mesh.middle(mesh.cell(p))) for p in (a, b))
    along = (there - here) / np.hypot(*(there - here))
    right = np.array([-along[1], along[0]])
    length = np.hypot(*(there - here))
    line, head = re.findall(r' d="([^"]*)"', arrow)
    (start, neck), (tip, *wings) = points(line), points(head)
    for point in (start, neck, tip, *wings):
        way, beside = (np.array(point) - here) @ along, (np.array(point) - here) @ right
        assert 0 < way < length and 0 < beside < 0.3 * mesh.size
    way = [(np.array(p) - here) @ along for p in (start, neck, tip)]
    assert way == sorted(way) and way[0] == pytest.approx(
        length - way[2], abs=0.2
    )  # as far from the one as from the other
    assert way[1] - way[0] > 0 and (np.array(wings) @ along).max() == pytest.approx(np.array(neck) @ along, abs=0.2)
    text = rect(number)
    place = np.array([text["x"], text["y"] - 4])
    assert (place - here) @ along == pytest.approx(length / 2, abs=0.2)
    assert 0.3 * mesh.size < (place - here) @ right < 0.5 * mesh.size and ">1<" in number


def test_links_are_arrows_as_wide_as_their_load():
    """An arrow for each direction of a link, from one PE's side to the other's, the two beside each other."""
    mesh = mesh_of(2, 1)
    load = np.zeros((4, 1, 2), int)
    load[2, 0, 0], load[3, 0, 1] = 100, 50  # E of the left, W of the right one
    east, west = picture._links(mesh, load)
    left, right = (np.array(mesh.middle(cell)) for cell in (0, 1))
    spans = []
    for arrow, sign in ((east, 1), (west, -1)):
        line, head = re.findall(r' d="([^"]*)"', arrow)
        (start, _), (tip, *_) = points(line), points(head)
        assert np.sign(tip[0] - start[0]) == sign and start[1] == tip[1]
        assert left[0] < min(start[0], tip[0]) and max(start[0], tip[0]) < right[0]
        spans.append(start[1] - left[1])
    assert spans[0] == pytest.approx(-spans[1], abs=0.11) and spans[0] != 0
    wide, narrow = (float(re.search(r'stroke-width="([\d.]+)"', arrow)[1]) - 0.8 for arrow in (east, west))
    assert wide == pytest.approx(2 * narrow, abs=0.11) and wide == pytest.approx(mesh.size * 0.07, abs=0.06)
    assert picture._links(mesh_of(60, 60), np.ones((4, 60, 60), int)) == []  # too small to be seen
