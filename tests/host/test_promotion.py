"""Vendor scripts compute as with NumPy 1: `np.uint16(x) << 16` is no uint16."""

import subprocess
import sys

import numpy as np
import pytest

from meshlang.host.sdk import numpy_1
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
    if kind is None and np.lib.NumpyVersion(np.__version__) < "2.0.0":
        with pytest.raises(TypeError):
            exec(compiled(f"r = {text}", "script"), names)
        return
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


# what NumPy 1 has and does, and later versions have not and refuse
CALLS = [
    ("np.uint16(-1)", 65535),
    ("np.int32(0xdeadbeef)", -559038737),
    ("np.uint8([300, 2])", [44, 2]),
    ("np.array([[-1, 70000]], dtype=np.uint16)", [[65535, 4464]]),
    ("np.asarray([-1], np.uint32)", [2**32 - 1]),
    ("np.full(2, -1, np.uint32)", [2**32 - 1] * 2),
    ("np.full((2,), 2**31, dtype=np.int32)", [-(2**31)] * 2),
    ("np.full_like(np.zeros(1, np.uint16), -2)", [65534]),
    ("np.array([1, 2], copy=False)", [1, 2]),
    ("np.fromstring(b'\\x01\\x00\\x02\\x00', dtype=np.uint16)", [1, 2]),
    ("np.reshape(np.arange(2), newshape=(2, 1))", [[0], [1]]),
    ("np.arange(3, dtype=np.uint8).tostring()", b"\x00\x01\x02"),
    ("np.array([3, 9]).ptp()", 6),
    ("np.array([1], '<u2').newbyteorder()", [256]),
    ("int(np.array([3]))", 3),
    ("float(np.array([[2.5]]))", 2.5),
    ("complex(np.array([1j]))", 1j),
    ("'%d %.1f' % (np.array([3]), np.array([0.5]))", "3 0.5"),
    ("'%d' % np.array([7])", "7"),
    ("int('ff', 16) + int('1') + int(2.9)", 258),
    ("isinstance(1, int) and isinstance(np.float_(1), float)", True),
    ("np.zeros(1, np.int).dtype == np.int64", True),
    ("[np.product([2, 3]), np.alltrue([0]), np.sometrue([0, 1]), np.math.ceil(1.2)]", [6, False, True, 2]),
    ("np.in1d(np.array([[1, 2]]), [2])", [False, True]),
    ("np.NINF + np.Inf", None),
    ("np.asscalar(np.array([4]))", 4),
    ("Mine().fill(-1) + Mine().ptp()", -3),
    ("[uint16(-1), full(1, -1, uint16).tolist(), array('b', [3]).tolist()]", [65535, [65535], [3]]),
    ("str([np.int64(3), np.float32(1.5)]) + repr(np.uint16(2))", "[3, 1.5]2"),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("text,value", CALLS)
def test_what_numpy_1_has_and_does(text, value):
    mine = "from array import array\nfrom numpy import full, uint16\nclass Mine:\n    def fill(self, x): return x\n    def ptp(self): return -2\n"
    scope = {"np": np}
    with numpy_1.names():
        exec(compiled(f"{mine}r = {text}", "script"), scope)
    result = scope["r"]
    assert value is None or (result.tolist() if hasattr(result, "tolist") else result) == value
    assert not hasattr(np, "product") or NUMPY_1_ITSELF


NUMPY_1_ITSELF = np.__version__.startswith("1.")


@pytest.mark.filterwarnings("ignore")
def test_assignments_as_in_numpy_1():
    scope = {"np": np}
    text = """
words = np.zeros(6, np.uint32)
words[0] = -1
words[1:3] = [-2, 2**32 + 5]
words[3] = np.array([7])
words[4] = 2.9
calls = []
def once():
    calls.append(1)
    return words
once()[5] = 1
bytes_ = np.empty(2, np.uint8)
bytes_.fill(-1)
bytes_.itemset(1, 3)
table, items = {"a": 0}, [0]
table["a"] = -1
items[0] = [np.array([1])]
"""
    exec(compiled(text, "script"), scope)
    assert scope["words"].tolist() == [2**32 - 1, 2**32 - 2, 5, 7, 2, 1] and scope["calls"] == [1]
    assert scope["bytes_"].tolist() == [255, 3]
    assert scope["table"] == {"a": -1} and type(scope["items"][0][0]) is np.ndarray


@pytest.mark.parametrize("text", ["np.uint8('x')", "int('x')", "np.array(['x'], np.int16)", "'%d' % 'x'", "np.full()"])
def test_mistakes_stay_mistakes(text):
    with pytest.raises((ValueError, TypeError)):
        exec(compiled(f"r = {text}", "script"), {"np": np})


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


def test_python_below_sdk_runs_scripts_so(tmp_path):
    """`python run.py` is cs_python there; what is no script goes to Python itself."""
    (tmp_path / "run.py").write_text(
        "import sys\nimport numpy as np\nfrom cerebras.sdk.sdk_utils import memcpy_view\n"
        "print(np.uint16(1) << 16, np.uint16(-1), np.int(2), sys.argv[1:])\n"
    )
    text = "python -u run.py a b && python3 -c 'import sys; print(len(sys.argv))' && echo 'print(7)' | python -"
    done = subprocess.run(
        [sys.executable, "-m", "meshlang", "sdk", "--", "bash", "-c", text],
        cwd=tmp_path,
        text=True,
        capture_output=True,
    )
    assert done.stdout.splitlines() == ["65536 65535 2 ['a', 'b']", "1", "7"], done.stderr


@pytest.mark.parametrize(
    "arguments, given, out",
    [
        (["-u", "run.py", "-u"], "", "['run.py', '-u'] 65536"),
        (["-W", "ignore", "-OB", "-Xdev", "run.py"], "", "['run.py'] 65536"),
        (["-um", "run", "a"], "", " 'a'] 65536"),
        (["-", "a"], "import sys, numpy as np\nprint(sys.argv, np.uint16(1) << 16)", "['-', 'a'] 65536"),
        ([], "import sys, numpy as np\nprint(sys.argv, np.uint16(1) << 16)", "['-'] 65536"),
        (["-V"], "", f"Python {sys.version.split()[0]}"),
    ],
)
def test_options_of_the_python_command(tmp_path, arguments, given, out):
    (tmp_path / "run.py").write_text("import sys\nimport numpy as np\nprint(sys.argv, np.uint16(1) << 16)\n")
    command = [sys.executable, "-m", "meshlang", "cs_python", *arguments]
    done = subprocess.run(command, cwd=tmp_path, input=given, text=True, capture_output=True)
    assert done.returncode == 0 and done.stdout.endswith(f"{out}\n"), done.stderr
