"""Allreduce along a row of N PEs: pipeline, ring, star and K-trees beside each other; cycles, colors, memory and
longest path.

sizes: PEs of the row, with commas; n: elements of the vector; f32: f32 instead of f16; max: the largest instead of the
sum. Every result is compared with numpy. Cycles are those of the slowest PE, colors and bytes the most that a PE uses.
The last two columns are hops and software stages of the longest path: of all steps one after the other. A star takes
one vector after the other at its root.
"""

import numpy as np

import meshlang
from meshlang.host.paths import ktree_chains, longest_route


def longest_path(program, name, N, K):
    """Hops and software stages."""
    if name == "pipeline":
        return (N - 1) * longest_route(program, {0, 1}) + longest_route(program, {2}), N - 1
    if name == "ring":
        return 2 * (N - 1) * longest_route(program), 2 * (N - 1)
    if name == "star":
        return longest_route(program, {0, 1}) + longest_route(program, {2}), 1
    chains = ktree_chains(N, K)
    hops = sum(chain * longest_route(program, {2 * k, 2 * k + 1}) for k, chain in enumerate(chains))
    return hops + longest_route(program, {2 * K}), sum(chains)


ALGORITHMS = (
    ("pipeline", 0, 1),
    ("ring", 1, 1),
    ("star", 3, 1),
    ("K-tree, K = 1", 2, 1),
    ("K-tree, K = 2", 2, 2),
    ("K-tree, K = 3", 2, 3),
)

context = meshlang.run_context()
args = meshlang.params(sizes="4,16,64", n=8, f32=False, max=False)
sizes, n = [int(size) for size in args["sizes"].split(",")], args["n"]
context.check(
    min(sizes) >= 2 and n >= 1, f"rows start at 2 PEs and vectors at 1 element, found {args['sizes']} and {n}"
)
dtype = np.float32 if args["f32"] else np.float16
rng = np.random.default_rng(context.seed or 0)
rows = []
print(f"{'N':>4}  {'algorithm':14} {'cycles':>8} {'colors':>7} {'bytes':>7} {'hops':>5} {'stages':>7}")
for N in sizes:
    v = rng.uniform(-1, 1, (N, n)).astype(dtype)
    expected = v.astype(np.float64).max(0) if args["max"] else v.astype(np.float64).sum(0)
    # N - 1 additions round once each; no partial sum is larger than the sum of the absolute values
    bound = (
        0.0 if args["max"] else N * float(np.finfo(dtype).eps) / 2 * float(np.abs(v).astype(np.float64).sum(0).max())
    )
    for name, number, K in ALGORITHMS:
        padded = -(-n // N) * N if name == "ring" else n
        program = meshlang.compile(
            "layout.csl",
            params={"N": N, "n": n, "algorithm": number, "K": K, "single": args["f32"], "maximum": args["max"]},
        )
        data = np.zeros((1, N, padded), dtype)
        data[0, :, :n] = v
        with program.start(echo=False) as fabric:
            fabric.write("v", data)
            fabric.launch("run")
            got = fabric.read("v", count=padded)[0, :, :n]
            ticks = fabric.read("ticks", count=6).astype(np.int64)
        context.check(bool((got == got[0]).all()), f"{name}, N = {N}: every PE should have the same result")
        error = meshlang.largest_error(got[0], expected)
        context.check_error(error, bound, f"{name}, N = {N}")
        cycles = int((ticks[..., 3:6] @ [1, 1 << 16, 1 << 32] - ticks[..., 0:3] @ [1, 1 << 16, 1 << 32]).max())
        used = int(np.sum([configured >= 0 for configured in program.ir.fabric.color.values()], axis=0).max())
        nbytes = max(t["memory"] for t in program.resources()["tiles"])
        hops, stages = longest_path(program, name, N, K)
        rows.append([N, name, cycles, used, nbytes, hops, stages])
        print(f"{N:4}  {name:14} {cycles:8} {used:7} {nbytes:7} {hops:5} {stages:7}")
context.result(rows=rows)
