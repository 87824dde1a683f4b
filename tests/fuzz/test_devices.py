"""Some random programs of each kind; `python -m tests.fuzz.devices` makes as many as one likes."""

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import devices


@pytest.mark.parametrize("kind", devices.KINDS)
def test_what_few_programs_use(kind):
    done, wrong = devices.fuzz(8, seed=5, kinds=[kind])
    assert done == {kind: 8} and wrong == []


@pytest.mark.parametrize("kind", devices.KINDS)
def test_a_model_that_says_something_else_is_noticed(kind, monkeypatch):
    """The comparison is one: the last element that is expected is another."""
    plain = devices.KINDS[kind]

    def other(pick: random.Random) -> devices.Case:
        case = plain(pick)
        case.expected = [[*values[:-1], values[-1] ^ 1] if values else [] for values in case.expected]
        return case

    monkeypatch.setitem(devices.KINDS, kind, other)
    done, wrong = devices.fuzz(2, seed=6, kinds=[kind])
    assert len(wrong) == 2
