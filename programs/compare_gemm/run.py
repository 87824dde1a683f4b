"""MeshGEMM beside Cannon's algorithm, allgather GEMM and SUMMA: cycles, colors, memory and longest path at several mesh sizes.

sizes: mesh sizes P, with commas; tile: rows and columns of a PE's tiles. Every product is compared with numpy. The first columns are
measured (cycles) or read off the compiled program (colors of a PE, bytes of a PE's data); the last two are those of a step: hops of its
longest path (the longest route, as often as PEs send on what they received) and its software stages.
"""

import numpy as np

import meshlang
from meshlang import placement
from meshlang.host.paths import longest_route

context = meshlang.run_context()
args = meshlang.params(sizes="4,8,16", tile=2)
sizes, tile = [int(size) for size in args["sizes"].split(",")], args["tile"]
context.check(min(sizes) >= 2 and tile >= 1, f"mesh sizes start at 2 and tiles at 1, found {args['sizes']} and {tile}")
rng = np.random.default_rng(context.seed or 0)
rows = []
print(f"{'P':>4}  {'algorithm':10} {'cycles':>8} {'per step':>9} {'colors':>7} {'bytes':>7} {'hops':>5} {'stages':>7}")
for P in sizes:
    n = P * tile
    A, B = (rng.uniform(-1, 1, (n, n)).astype(np.float16) for _ in range(2))
    expected = A.astype(np.float64) @ B.astype(np.float64)
    bound = n * float(np.finfo(np.float16).eps) / 2 * float((np.abs(A).astype(np.float64) @ np.abs(B).astype(np.float64)).max())
    for number, (name, stages) in enumerate((("MeshGEMM", 1), ("Cannon", 1), ("allgather", 1), ("SUMMA", P - 1))):
        ring = name != "Cannon"
        program = meshlang.compile("layout.csl", params={"P": P, "algorithm": number, "Mt": tile, "Kt": tile, "Nt": tile})
        with program.start(echo=False) as fabric:
            fabric.write("A", placement.block(A, P, P) if name == "SUMMA" else placement.skewed_a(A, P, ring))
            fabric.write("B", placement.block(B, P, P) if name == "SUMMA" else placement.skewed_b(B, P, ring))
            fabric.launch("run")
            C = placement.unblock(fabric.read("C", count=tile * tile), (n, n))
            ticks = fabric.read("ticks", count=6).astype(np.int64)
        error = float(np.abs(C - expected).max())
        context.check(error <= bound, f"{name}, P = {P}: the largest error {error:.3e} is above the bound {bound:.3e}")
        cycles = float((ticks[..., 3:6] @ [1, 1 << 16, 1 << 32] - ticks[..., 0:3] @ [1, 1 << 16, 1 << 32]).max())
        used = np.sum([configured >= 0 for configured in program.ir.fabric.color.values()], axis=0)
        nbytes = max(t["memory"] for t in program.resources()["tiles"])
        context.handles.clear()         # the table stands for the summary of each run
        rows.append((P, name, cycles, int(used.max()), nbytes, stages * longest_route(program), stages))
        print(f"{P:4}  {name:10} {cycles:8.0f} {cycles / P:9.1f} {used.max():7} {nbytes:7} {rows[-1][5]:5} {stages:7}")
context.result(rows=[list(row) for row in rows])
