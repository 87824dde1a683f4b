"""The source place of an instruction that has none of its own."""

from types import SimpleNamespace

import pytest

from meshlang.fabric.places import span_of


def machine(*functions):
    """One tile program from instruction 100 on: of each function the spans, None where an instruction has none."""
    entries, spans = [], []
    for function in functions:
        entries.append(SimpleNamespace(entry=len(spans)))
        spans += function
    tile = SimpleNamespace(spans=spans, functions=entries)
    return SimpleNamespace(state=SimpleNamespace(code_base=[0, 100]), program=SimpleNamespace(tiles=[None, tile]))


@pytest.mark.parametrize(
    ("functions", "found"),
    [
        ([["a", "b"]], ["a", "b"]),
        ([["a", None, None, "b"]], ["a", "a", "a", "b"]),  # of the one before it
        ([[None, None, "a"]], ["a", "a", "a"]),  # else after it
        ([["a", None], [None, "b"], [None]], ["a", "a", "b", "b", None]),  # of its own function
        ([[None]], [None]),
    ],
)
def test_the_place_of_an_instruction(functions, found):
    loaded = machine(*functions)
    assert [span_of(loaded, 1, 100 + at) for at in range(len(found))] == found


def test_no_instruction_has_no_place():
    loaded = machine(["a"])
    assert span_of(loaded, -1, 100) is None and span_of(loaded, 1, -1) is None
