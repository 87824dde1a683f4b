"""What the verifier lets pass and what not, at the last value that is right and the first that is wrong."""

from __future__ import annotations

from types import SimpleNamespace as Tile

import numpy as np
import pytest

from meshlang.ir import verify
from meshlang.ir.program import MOST_INPUTS


def refused(check, **fields):
    return list(check(Tile(**fields)))


DSRS = {"dsrs": [("dest", 0), ("src1", 3)], "dsr_configs": [0, 0]}


@pytest.mark.parametrize(
    "entry", [(0, 0, -1, -1, -1), (1, (1 << 64) - 1, 1, 63, 63), (0, 0, 0, 0, 0), (1, 1, -1, -1, 63)]
)
def test_what_a_dsr_holds(entry):
    assert refused(verify._dsrs, dsr_init=[entry], **DSRS) == []


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        ((-1, 0, -1, -1, -1), "holds"),
        ((2, 0, -1, -1, -1), "holds"),
        ((0, -1, -1, -1, -1), "holds"),
        ((0, 1 << 64, -1, -1, -1), "holds"),
        ((0, 0, -2, -1, -1), "holds"),
        ((0, 0, 2, -1, -1), "holds"),
        ((0, 0, 0, -2, -1), "starts a task"),
        ((0, 0, 0, 64, -1), "starts a task"),
        ((0, 0, 0, -1, -2), "starts a task"),
        ((0, 0, 0, -1, 64), "starts a task"),
    ],
)
def test_what_a_dsr_cannot_hold(entry, what):
    (said,) = refused(verify._dsrs, dsr_init=[entry], **DSRS)
    assert what in said


def test_files_of_dsrs():
    right = [("dest", 0), ("src0", 0), ("src1", 99)]
    assert refused(verify._dsrs, dsrs=right, dsr_init=[]) == []
    assert refused(verify._dsrs, dsrs=[*right, ("dest", -1), ("src2", 0)], dsr_init=[]) == [
        "there is no DSR -1 of dest",
        "there is no DSR 0 of src2",
    ]


@pytest.mark.parametrize(
    ("name", "bits"),
    [("active", 64), ("blocked", 64), ("high", 64), ("ut_blocked", 8), ("transform", 6), ("exceptions", 16)],
)
def test_masks(name, bits):
    none = dict.fromkeys(("active", "blocked", "high", "ut_blocked", "transform", "exceptions"), 0)
    assert refused(verify._masks, **none) == refused(verify._masks, **none | {name: (1 << bits) - 1}) == []
    for wrong in (-1, 1 << bits):
        assert refused(verify._masks, **none | {name: wrong}) == [f"'{name}' is no mask of {bits} bits"]


@pytest.mark.parametrize(
    ("address", "size", "right"),
    [(0, 8, True), (8, 0, True), (0, 9, False), (-1, 2, False), (4, -1, False), (7, 1, True)],
)
def test_objects_lie_in_memory(address, size, right):
    objects = [Tile(name="x", address=address, size=size)]
    assert (refused(verify._objects, objects=objects, image=bytes(8)) == []) == right


def test_tasks():
    def said(function=0, id=0, kind="local", arguments=0):
        task = Tile(name="t", function=function, id=id, kind=kind, arg_types=[None] * arguments)
        return refused(verify._tasks, tasks=[task], functions=[Tile(frame=3)])

    assert said() == said(id=63) == said(kind="data") == said(kind="control") == said(arguments=2) == []
    for wrong in ({"function": 1}, {"function": -1}, {"id": -1}, {"id": 64}):
        assert said(**wrong) == ["task t is bound to what does not exist"]
    assert said(kind="other") == ["task t is of no kind"]
    assert said(arguments=3) == ["task t has no room for its arguments"]


def test_rotating_tasks():
    tasks = [Tile(kind="data", id=5), Tile(kind="control", id=0), Tile(kind="local", id=6)]

    def said(*rotating, tasks=tasks):
        return refused(verify._rotating, tasks=tasks, rotating=rotating)

    assert said((5, 0, 0)) == said((5, 3, 3)) == said((5, 0, 0xFFFF), (5, 1, 2)) == []
    wrong = "rotating tasks are bound to what does not exist"
    for pair in ((6, 0, 1), (5, -1, 1), (5, 2, 1), (5, 0, 0x10000)):
        assert said(pair) == [wrong]
    assert said((5, 0, 1), tasks=tasks[:1]) == [wrong]
    assert said((5, 0, 1), (5, 0, 1), (5, 0, 1)) == ["there are more than two pairs of rotating tasks"]


def test_queues():
    def said(inputs=(), outputs=()):
        made = [[Tile(id=i, color=c) for i, c in queues] for queues in (inputs, outputs)]
        return refused(verify._queues, inputs=made[0], outputs=made[1])

    assert said([(0, 0), (MOST_INPUTS - 1, 23)], [(0, None), (7, 5)]) == []
    assert said([(MOST_INPUTS, 0)]) == [f"input queue {MOST_INPUTS} of color 0 does not exist"]
    assert said([], [(8, 0)]) == ["output queue 8 of color 0 does not exist"]
    assert said([(-1, 0)]) == ["input queue -1 of color 0 does not exist"]
    assert said([(1, 24)]) == ["input queue 1 of color 24 does not exist"]
    assert said([(1, -1)]) == ["input queue 1 of color -1 does not exist"]
    assert said([(1, 2), (1, 3)]) == ["an input queue is there twice"]
    assert said([(1, 2)], [(1, 3), (1, 2)]) == ["an output queue is there twice"]


def test_exports():
    def said(**fields):
        export = Tile(**{"kind": "var", "function": 0, "address": 0} | fields)
        functions = [Tile(params=verify.ARGUMENTS), Tile(params=verify.ARGUMENTS + 1)]
        return refused(verify._exports, exports={"x": export}, functions=functions, image=bytes(8))

    assert said() == said(address=7) == said(kind="pointer", address=6) == said(kind="fn", function=0) == []
    for wrong in ({"address": 8}, {"address": -1}, {"kind": "pointer", "address": 7}):
        assert said(**wrong) == ["the export 'x' does not lie inside the memory"]
    for number in (-1, 1, 2):  # 1 takes more arguments than a command can have
        assert said(kind="fn", function=number) == ["the export 'x' is of a function that does not exist"]
    assert said(kind="type") == ["the export 'x' is of no kind"]


def test_registers_of_the_configuration_space():
    first, count = verify.PLAIN_REGISTERS, verify.PLAIN_COUNT

    def said(address, value):
        return refused(verify._registers, registers=[(address, value)])

    assert said(first, 0) == said(first + count - 1, 0xFFFF) == []
    for wrong in ((first - 1, 0), (first + count, 0), (first, -1), (first, 0x10000)):
        assert said(*wrong) == ["a word of the configuration space does not exist"]


def test_inlined_functions():
    """One number for each instruction, or none at all; what calls what ends at the function itself."""

    def said(rows, callers, code=3):
        frames = [Tile(name=f"f{i}", caller=c) for i, c in enumerate(callers)]
        return refused(verify._inlined, inlined=np.array(rows, np.int32), inline_frames=frames, code=[0] * code)

    assert said([], []) == said([-1, 0, 1], [-1, 0]) == said([1, 1, 1], [1, -1]) == []
    for rows in ([0, 0], [0, 0, 0, 0]):
        assert said(rows, [-1]) == ["there is not one inlined function for each instruction"]
    for rows in ([-2, 0, 0], [0, 0, 1]):
        assert said(rows, [-1]) == ["an instruction belongs to an inlined function that does not exist"]
    assert said([0, 0, 0], [0]) == said([0, 0, 0], [1]) == ["the inlined function f0 stands nowhere"]
    assert said([0, 0, 0], [1, 0]) == ["the inlined function f0 stands nowhere"]
