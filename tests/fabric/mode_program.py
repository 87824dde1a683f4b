"""Runs a mixed program and prints digests of the machine's state; run by test_engine_modes.py in both modes of the
engine."""

import hashlib
import itertools
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from asm import E, R, Tile, W, fabin, fabout, mem, program

from meshlang.fabric.machine import Machine
from meshlang.ir.dsdops import DSD_OPS
from meshlang.ir.isa import Action, MathFn, Op, Ty


def build(arch, seed):
    rng = np.random.default_rng(seed)
    n = 24
    size = {"h": 2, "w": 2, "s": 4, "d": 4}
    a = Tile("a.csl")
    a.outputs, a.inputs = [(2, 5)], [(3, 6)]
    a.blocked = 1 << 3 | 1 << 6 | 1 << 12
    a.task(12, "local", "joined")
    a.done()
    a.ret()
    a.function("main", export=True)
    raw = rng.integers(0, 256, 4 * 64, dtype=np.uint8)
    raw.view(np.uint16)[:8] = [0, 0x8000, 0x7C00, 0xFC00, 0x7E01, 1, 0x7BFF, 0x3C00]
    for name, op in DSD_OPS.items():
        for form in op.forms:
            dst = a.var(f"{name}_{form}", n * 2, 4)
            target = ("pointer", dst) if form[0] == "P" else ("dsd", mem(dst, n, int(rng.integers(1, 3)), size[op.dst]))
            sources = []
            for i, (letter, kind) in enumerate(zip(op.src, form[1:], strict=False)):
                if kind == "V":
                    source = a.var(f"{name}_{form}_{i}", 64, 4, raw)
                    sources.append(("dsd", mem(source, n, int(rng.integers(-1, 2)) or 2, size[letter])))
                    if sources[-1][1] >> 36 & 0x8000:
                        sources[-1] = ("dsd", mem(source + n * size[letter], n, -1, size[letter]))
                else:
                    sources.append(("scalar", int(rng.integers(0, 1 << 15))))
            a.op(name, target, *sources)
    out = a.var("scalars", 512, 4)
    k = 0
    for function in list(MathFn)[:14]:
        for ty, bits in ((Ty.F16, 0x3E66), (Ty.F32, 0x40490FDB), (Ty.F32, 0xBF000000)):
            a.const(1, bits)
            a.const(2, 0x3C00 if ty == Ty.F16 else 0x3F800000)
            a.emit(
                Op.FUN2 if function in (MathFn.POW,) else Op.FUN1, 5, 1, function, ty
            ) if function != MathFn.FSCALE else None
            a.emit(Op.LDI, 6, out + 4 * k)
            a.emit(Op.ST, 5, 6, 0, Ty.U32)
            k += 1
    x, y = a.var("x", 40, 2, np.arange(40, dtype=np.uint16)), a.var("y", 40, 2)
    a.op(
        "fmovh",
        ("dsd", fabout(40, 2, 5, simd=1)),
        ("dsd", mem(x, 40, 1, 2)),
        is_async=True,
        action=(Action.ACTIVATE, 12),
    )
    a.op(
        "fmovh", ("dsd", mem(y, 40, 1, 2)), ("dsd", fabin(40, 3, 6, simd=1)), is_async=True, action=(Action.UNBLOCK, 12)
    )
    a.ret()
    b = Tile("b.csl")
    b.outputs, b.inputs = [(2, 6)], [(3, 5)]
    b.blocked = 1 << 3 | 1 << 5
    b.function("main", export=True)
    b.op("faddh", ("dsd", fabout(40, 2, 6, simd=1)), ("dsd", fabin(40, 3, 5, simd=1)), ("scalar", 0x3C00))
    b.done()
    b.ret()
    routes = {5: {(0, 0): (R, E), (1, 0): (W, R)}, 6: {(1, 0): (R, W), (0, 0): (E, R)}}
    return program([[0, 1]], [a, b], routes, arch)


def alternate():
    """One call of the run loop compiled, the next uncompiled, on the same arrays."""
    from meshlang.fabric import machine, startup
    from meshlang.fabric.engine.loop import engine

    turns = itertools.cycle([startup.uncompiled(), engine()])
    machine.run_loop = lambda traced=False: next(turns)
    machine.settled = lambda: False


def main():
    if "alternate" in sys.argv:
        alternate()
    for arch in ("wse2", "wse3"):
        for seed in (1, 2):
            machine = Machine(build(arch, seed))
            machine.launch("main")
            machine.run("commands", max_cycles=1_000_000)
            machine.run()
            st = machine.state
            digest = hashlib.sha256(st.W.tobytes() + st.U.tobytes() + st.M8.tobytes()).hexdigest()
            print(arch, seed, machine.cycle, digest)


if __name__ == "__main__":
    main()
