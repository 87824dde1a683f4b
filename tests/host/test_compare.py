"""How programs compare numbers: what is no finite number never passes."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

import meshlang

PROGRAMS = Path(__file__).resolve().parents[2] / "programs"


def test_largest_error():
    assert meshlang.largest_error([1.0, 2.0], [1.5, 2.0]) == 0.5
    assert meshlang.largest_error([1.0, 2.0], [1.5, 5.0], relative=True) == 0.6
    assert meshlang.largest_error([0.0], [0.0], relative=True) == 0
    assert meshlang.largest_error([1.0], [0.0], relative=True) == math.inf
    assert meshlang.largest_error(np.float16([60000]), np.float16([-60000])) == 120000
    for bad in (math.nan, math.inf, -math.inf):
        for pair in (([bad, 1.0], [1.0, 1.0]), ([1.0, 1.0], [bad, 1.0]), ([bad, 1.0], [bad, 1.0])):
            assert meshlang.largest_error(*pair) == meshlang.largest_error(*pair, relative=True) == math.inf
    for got, want in (([1.0], [1.0, 2.0]), ([[1.0]], [1.0]), ([], [])):
        with pytest.raises(meshlang.MeshlangError, match="cannot be compared"):
            meshlang.largest_error(got, want)


def test_check_error():
    context = meshlang.RunContext()
    context.check_error(0.5, 0.5)
    for error, bound in ((0.6, 0.5), (math.nan, 1.0), (math.inf, math.inf), (0.1, math.nan), (0.1, math.inf)):
        with pytest.raises(meshlang.MeshlangError) as found:
            context.check_error(error, bound, "y")
        assert found.value.diagnostics[0].code == "MS0923"
        assert "y: the largest error" in found.value.diagnostics[0].message


def test_programs_compare_in_no_other_way():
    for script in PROGRAMS.glob("*/run.py"):
        text = script.read_text()
        assert not re.search(r"np\.abs\([^()]*-[^()]*\)|allclose|error <=", text), script
        if "expected" in text:
            assert "check_error" in text and "largest_error" in text, script
