"""The page about the machine's state is written by its declarations, and nobody else numbers a word or a bit."""

import ast
from pathlib import Path

import numpy as np
import pytest

from meshlang.fabric.engine import jit, state
from meshlang.fabric.reference import page
from meshlang.ir.records import Packed, Record, bits, flag, numbers, parts, word, words

ROOT = Path(__file__).parents[2]


def test_the_page_is_current():
    """`python -m meshlang.fabric.reference docs/state.md` writes it anew."""
    assert (ROOT / "docs" / "state.md").read_text(encoding="utf-8") == page()


# shifts and masks of plain numbers that the engine may have: halves, bytes and words of memory, the 64 bits of a word of
# a bitmap, 32-bit clocks, and rates with 16 bits behind the point
SHIFTS = {1, 2, 6, 16, 32}
MASKS = {1, 3, 7, 15, 31, 63, 0xFF, 0x7FFF, 0xFFFF, 0xFFFFFFFF}
# arithmetic
APART = {"alu.py", "bits.py", "exceptions.py", "f16.py", "jit.py", "opcodes.py", "scalar.py", "state.py"}
# functions that take a value apart which is no word of the state: arguments of SYS and BINS, which are operands of
# instructions; the commands of a control wavelet, the directions of a register; the pair that fabric_operand gives,
# and the sides of a mask
OTHERS = {"system", "configure", "value_op", "filter_field", "register_load", "register_store", "popped", "turned"}
OTHERS |= {"fabric_operand", "trace_issue", "trace_done", "trace_move"}
# sizes of what stands behind each other, and offsets in records, have names
STRIDES = {"W", "U", "T", "HS"}


def _number(node: ast.AST) -> int | None:
    if isinstance(node, ast.Call) and len(node.args) == 1:
        node = node.args[0]
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, int) else None


@pytest.mark.parametrize("path", sorted((ROOT / "meshlang/fabric/engine").glob("*.py")), ids=lambda p: p.name)
def test_the_engine_numbers_no_field(path):
    """A field of a packed word is read and written by its accessor, a word of a record by its name."""
    if path.name in APART:
        return
    for function in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(function, ast.FunctionDef) or function.name in OTHERS:
            continue
        for node in ast.walk(function):
            where = f"{path.name}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.RShift):
                shifted = _number(node.right)
                assert shifted is None or shifted in SHIFTS, where
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd):
                # a shift and a mask make a field
                for field, mask in ((node.left, node.right), (node.right, node.left)):
                    if isinstance(field, ast.BinOp) and isinstance(field.op, ast.RShift):
                        assert _number(field.right) is None or _number(mask) in (None, 0xFFFF), where
                    assert _number(mask) is None or _number(mask) in MASKS, where
            if isinstance(node, ast.Subscript) and getattr(node.value, "id", "") in STRIDES:
                at = node.slice
                if not (isinstance(at, ast.BinOp) and isinstance(at.op, ast.Add) and _number(at.right) is not None):
                    continue
                tail = at.left.right if isinstance(at.left, ast.BinOp) and isinstance(at.left.op, ast.Add) else at.left
                named = isinstance(tail, ast.Name) and tail.id.isupper()
                frame = any(isinstance(n, ast.Name) and n.id == "fp" for n in ast.walk(at))
                # registers are numbered from the frame; an element of an array in a record, from the array
                assert frame or named, f"{where}: an offset without a name"


def test_declarations():
    """Offsets follow the order, lines and parts; fields read and write what is theirs."""

    class Bitsy(Packed, name="bitsy", prefix="B", word=16):
        low = bits(3, "")
        one = flag("")
        many = bits(2, "", count=3)
        minus = bits(4, "", at=12, signed=True)

    class Inner(Record, prefix="I", size="IK", array="W"):
        a = word("")
        b = word("", Bitsy)

    class Outer(Record, prefix="O", size="OK", array="W", lines=True):
        first = word("")
        inner = parts(Inner, 2, "")
        line = words(3, "", line=True)

    assert (Outer.first, Outer.inner, Outer.line, Outer.WORDS) == (0, 1, 8, 16)
    assert numbers(Outer, Bitsy) == {"OK": 16, "O_FIRST": 0, "O_INNER": 1, "O_LINE": 8, "B_ONE": 8}
    w = Bitsy.pack(low=5, one=1, minus=-3)
    assert w == 0xD00D and Bitsy.minus.get(w) == -3 and Bitsy.many.get(Bitsy.many.put(2, w, 1), 1) == 2
    array = np.zeros(40, np.int64)
    view = Outer.view(array, 8, 2)
    view["inner"]["b"][1, 1] = w
    view[0]["line"][2] = 7
    assert array[8 + 16 + 1 + 2 + 1] == w and array[8 + 8 + 2] == 7
    assert Bitsy.low.get(array).max() == 7 & 7 and Outer.read(array, 8)[Outer.line + 2] == 7
    with pytest.raises(AssertionError):

        class Wide(Packed, name="wide", prefix="W", word=8):
            field = bits(9, "")


@pytest.mark.parametrize("packed", state.PACKED, ids=lambda p: p.__name__)
def test_fields_read_what_was_written(packed):
    """Python's way and the engine's accessors agree, on every field, and leave the others alone."""
    ones = (1 << packed.BITS) - 1
    for name, field in packed.FIELDS.items():
        i = field.count - 1
        index = (i,) if field.count > 1 else ()
        for before in (0, ones):
            for value in (0, 1, field.low, field.low >> 1):
                after = field.put(value, before, i)
                assert field.get(after, i) == (
                    value if not field.signed or value <= field.low >> 1 else value - field.low - 1
                )
                place = field.low << field.first + field.width * i
                assert after & ~place == before & ~place, name
                if not jit.COMPILED:
                    accessor = getattr(state, f"{packed.NAME}_with_{name}")
                    assert (
                        int(accessor(np.int64(before if before < 1 << 63 else -1), *index, value)) & ones
                        == after & ones
                    )
