"""MeshGEMM beside Cannon's algorithm, allgather GEMM and SUMMA: cycles, colors, memory and longest path at several mesh
sizes.

sizes: meshes, with commas: P, or columns x rows such as 8x4. tile: rows and columns of a PE's tiles, and of the panels
of which there are lcm(columns, rows). f32: A, B and C are f32; f32_sum: C is. sync: MeshGEMM and Cannon with a barrier
before each step, which `per step` does not contain (squares only); without it a PE waits for its own data only. Every
product is compared with numpy. The first columns are measured (cycles) or read off the compiled program (colors of a
PE, bytes of a PE's data); the last two are those of a step: hops of its longest path (the longest route, as often as
PEs send on what they received) and its software stages.
"""

import math
import re

import numpy as np

import meshlang
from meshlang import placement
from meshlang.host.paths import longest_route

context = meshlang.run_context()
args = meshlang.params(sizes="4,8,16", tile=2, f32=False, f32_sum=False, sync=False)
sizes, tile = args["sizes"].split(","), args["tile"]
for size in sizes:
    context.check(
        re.fullmatch(r"\d+(x\d+)?", size) is not None,
        f"a mesh is P or columns x rows such as 8x4, found {size!r} in sizes",
    )
meshes = [(int(size.split("x")[0]), int(size.split("x")[-1])) for size in sizes]
context.check(
    min(map(min, meshes)) >= 2 and tile >= 1, f"mesh sizes start at 2 and tiles at 1, found {args['sizes']} and {tile}"
)
dtype = np.float32 if args["f32"] else np.float16
sum_dtype = np.float32 if args["f32_sum"] else dtype
rng = np.random.default_rng(context.seed or 0)
rows = []
print(f"{'P':>5}  {'algorithm':10} {'cycles':>8} {'per step':>9} {'colors':>7} {'bytes':>7} {'hops':>5} {'stages':>7}")
for size, (W, H) in zip(sizes, meshes):
    steps = math.lcm(W, H)
    M, K, N = H * tile, steps * tile, W * tile
    A, B = rng.uniform(-1, 1, (M, K)).astype(dtype), rng.uniform(-1, 1, (K, N)).astype(dtype)
    expected = A.astype(np.float64) @ B.astype(np.float64)
    bound = (
        K
        * float(np.finfo(sum_dtype).eps)
        / 2
        * float((np.abs(A).astype(np.float64) @ np.abs(B).astype(np.float64)).max())
    )
    algorithms = (("MeshGEMM", 1), ("Cannon", 1), ("allgather", 1), ("SUMMA", max(W, H) - 1))
    for number, (name, stages) in enumerate(algorithms[: 2 if args["sync"] else 4]):
        ring = name != "Cannon"
        program = meshlang.compile(
            "layout.csl",
            params={
                "W": W,
                "H": H,
                "algorithm": number,
                "Mt": tile,
                "Kt": tile,
                "Nt": tile,
                "single": args["f32"],
                "single_sum": args["f32_sum"],
                "synchronous": args["sync"],
            },
        )
        with program.start(echo=False) as fabric:
            fabric.write(
                "A", placement.column_panels(A, H, W) if name == "SUMMA" else placement.rectangle_a(A, H, W, ring)
            )
            fabric.write(
                "B", placement.row_panels(B, H, W) if name == "SUMMA" else placement.rectangle_b(B, H, W, ring)
            )
            fabric.launch("run")
            C = placement.unblock(fabric.read("C", count=tile * tile), (M, N))
            ticks = fabric.read("ticks", count=6).astype(np.int64)
            step_cycles = fabric.read("step_cycles", count=1)
        error = meshlang.largest_error(C, expected)
        context.check_error(error, bound, f"{name}, {W} x {H} PEs")
        cycles = float((ticks[..., 3:6] @ [1, 1 << 16, 1 << 32] - ticks[..., 0:3] @ [1, 1 << 16, 1 << 32]).max())
        used = np.sum([configured >= 0 for configured in program.ir.fabric.color.values()], axis=0)
        nbytes = max(t["memory"] for t in program.resources()["tiles"])
        step = (float(step_cycles.max()) if args["sync"] else cycles) / steps
        rows.append(
            (
                size,
                name,
                cycles,
                int(used.max()),
                nbytes,
                stages * longest_route(program, None if name == "SUMMA" else range(6)),
                stages,
            )
        )
        print(f"{size:>5}  {name:10} {cycles:8.0f} {step:9.1f} {used.max():7} {nbytes:7} {rows[-1][5]:5} {stages:7}")
context.result(rows=[list(row) for row in rows])
