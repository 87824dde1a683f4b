"""Vendor scripts compute as with NumPy 1: `np.uint16(x) << 16` is no uint16."""

import subprocess
import sys

import numpy as np
import pytest

from meshlang.host.sdk.promotion import compiled

# what NumPy 1.26.4 answers
NUMPY_1 = [
    ("np.uint16(1) << 16", "int64", 65536),
    ("1 + np.uint16(65535)", "int64", 65536),
    ("np.uint16(65535) + np.uint16(1)", "uint16", 0),
    ("np.uint8(200) * 2.0", "float64", 400.0),
    ("np.array(3, np.uint16) << 16", "int64", 196608),
    ("np.uint64(1) + 1", "float64", 2.0),
    ("np.uint64(1) << 1", None, None),  # an error there
    ("np.float32(0.1) == 0.1", "bool", False),
    ("np.float32(0.1) + 0.1", "float64", 0.20000000149011612),
    ("np.array([1], np.uint16) << 16", "uint16", [0]),
    ("np.array([1], np.uint16) + 70000", "uint32", [70001]),
    ("np.array([1], np.uint16) | 70000", "int32", [70001]),
    ("np.array([1], np.int16) + 40000", "int32", [40001]),
    ("np.array([1], np.uint16) - np.int64(2)", "uint16", [65535]),
    ("np.array([0.5], np.float32) * np.float64(3)", "float32", [1.5]),
    ("np.array([0.5], np.float16) * 300", "float32", [150.0]),
    ("np.array([1], np.int16) * 0.5", "float64", [0.5]),
    ("2 ** np.int16(3)", "int64", 8),
    ("'%d cycles' % np.uint16(7)", "", "7 cycles"),
    ("[1] + [2] * 2", "", [1, 2, 2]),
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("text,kind,value", NUMPY_1)
def test_as_in_numpy_1(text, kind, value):
    names = {"np": np}
    exec(compiled(f"r = {text}", "script"), names)
    if kind is not None:
        assert str(getattr(names["r"], "dtype", "")) == kind
        assert (names["r"].tolist() if kind else names["r"]) == value


def test_in_place():
    names = {"np": np}
    exec(
        compiled(
            """"a doc string"
from __future__ import annotations
import itertools
def high(words):
    total = words[0]
    total += words[1] << 16
    return total
class Place:
    n = np.uint16(65535)
    calls = 0
    def once(self):
        self.calls += 1
        return self
p = Place()
p.n += 1
p.once().n += 1
table = {"a": [np.uint16(3)]}
table["a"][0] <<= 16
column = np.array([65535], np.uint16)
same = column
column += 1
column += 70000
""",
            "script",
        ),
        names,
    )
    assert names["__doc__"] == "a doc string"
    assert names["high"](np.array([1, 2], np.uint16)) == 131073
    assert names["p"].n == 65537 and names["p"].calls == 1
    assert names["table"]["a"][0] == 196608
    assert names["same"] is names["column"] and names["same"].tolist() == [4464]


SCRIPT = """
import numpy as np
from stamps import make_u48
words = np.array([449, 1, 0], np.uint32).astype(np.uint16)
print(make_u48(words), words[0] + (words[1] << 16))
"""
MODULE = """
def make_u48(words):
    return words[0] + (words[1] << 16) + (words[2] << 32)
"""


def python(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "meshlang", "cs_python", *arguments], cwd=cwd, text=True, capture_output=True
    )


def test_a_script_and_its_module(tmp_path):
    (tmp_path / "stamps.py").write_text(MODULE)
    (tmp_path / "run.py").write_text(SCRIPT)
    for arguments in (["run.py"], ["-m", "run"], ["-c", SCRIPT]):
        done = python(*arguments, cwd=tmp_path)
        assert done.stdout.split() == ["65985", "65985"], done.stderr
    assert not list(tmp_path.rglob("*.pyc"))


def test_tracebacks_are_the_scripts(tmp_path):
    (tmp_path / "run.py").write_text("def add(a):\n    return a + 'x'\nadd(1)\n")
    done = python("run.py", cwd=tmp_path)
    assert done.returncode == 1
    assert "promotion" not in done.stderr
    assert "line 2, in add" in done.stderr and done.stderr.splitlines()[-1].startswith("TypeError: unsupported operand")
