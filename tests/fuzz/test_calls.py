"""Some random sequences of calls of the host; `python -m tests.fuzz.calls` makes as many as one likes."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import calls


def test_calls_against_a_model():
    assert calls.fuzz(12, first=1) == (12, [])


@pytest.mark.parametrize("symbol", ["a", "b"])
def test_a_model_that_says_something_else_is_noticed(symbol, monkeypatch):
    plain = calls.Model.__init__

    def other(self):
        plain(self)
        for memory in (self.a, self.other) if symbol == "a" else (self.plain[symbol],):
            memory.view(np.uint8)[..., -1] ^= 1

    monkeypatch.setattr(calls.Model, "__init__", other)
    monkeypatch.setattr(calls, "WRONG", [object()])  # refused, so that each case goes on to its end
    done, wrong = calls.fuzz(4, first=1)
    assert done == 4 and len(wrong) == 4
