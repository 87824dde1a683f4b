"""Building the code of one function: instructions, registers, labels."""

from __future__ import annotations

from typing import Any

from ...ir.isa import FREE, Op, Ty
from ...ir.use import target_word


class Label:
    __slots__ = ("pc", "uses")

    def __init__(self):
        self.pc: int | None = None
        self.uses: list[tuple[int, int]] = []  # (instruction, word) to patch


class FunctionBuilder:
    """Emits instructions of one function. Registers are handed out as a stack: take `mark()`, allocate,
    `release(mark)`.

    r0 is zero; the parameters are r1..rn. `calls` keeps (callee index or -1 for an indirect
    call, base, types of an indirect call) for the stack size and the check of recursion.
    """

    def __init__(self, name: str, params: int):
        self.name = name
        self.code: list[list[int]] = []
        self.spans: list[Any] = []
        self.next = params + 1
        self.high = params + 1
        self.calls: list[tuple[int, int, Any]] = []
        self.labels: list[Label] = []
        self.statics: list[tuple[str, Any]] = []  # locals in static storage: (name, span)
        self.span: Any = None
        self.free = False  # mark what is emitted as taking no cycles

    def reg(self) -> int:
        r = self.next
        self.next = r + 1
        if self.next > self.high:
            self.high = self.next
        return r

    def regs(self, n: int) -> int:
        r = self.next
        self.next = r + n
        self.high = max(self.high, self.next)
        return r

    def mark(self) -> int:
        return self.next

    def release(self, mark: int) -> None:
        self.next = mark

    def emit(self, op: Op, a: int = 0, b: int = 0, c: int = 0, ty: Ty = Ty.I64) -> int:
        self.code.append([op | ty << 8 | (FREE if self.free else 0), a, b, c])
        self.spans.append(self.span)
        return len(self.code) - 1

    def label(self) -> Label:
        found = Label()
        self.labels.append(found)
        return found

    def place(self, label: Label) -> None:
        label.pc = len(self.code)

    def end(self, label: Label) -> None:
        """`place`, dropping a jump to it that was just emitted."""
        here = len(self.code)
        if label.uses and label.uses[-1][0] == here - 1 and not any(lb.pc == here for lb in self.labels):
            label.uses.pop()
            self.code.pop()
            self.spans.pop()
        self.place(label)

    def jump(self, op: Op, label: Label, reg: int = 0) -> None:
        """Jump to `label`, or a branch on `reg`."""
        word = target_word(op)
        assert word is not None
        label.uses.append((self.emit(op, reg if word > 1 else 0), word))

    def constant(self, value: int, reg: int | None = None) -> int:
        """A register that holds a 64-bit constant."""
        if value == 0 and reg is None:
            return 0
        r = self.reg() if reg is None else reg
        low = value & 0xFFFFFFFF
        signed = low - (1 << 32) if low & 0x80000000 else low
        self.emit(Op.LDI, r, signed)
        high = (value >> 32) & 0xFFFFFFFF
        if (value - signed) != 0:
            self.emit(Op.LDIH, r, high - (1 << 32) if high & 0x80000000 else high)
        return r

    def finish(self) -> None:
        """Resolve labels to function-relative positions."""
        for label in self.labels:
            for at, word in label.uses:
                assert label.pc is not None
                self.code[at][word] = label.pc
