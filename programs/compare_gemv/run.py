"""MeshGEMV (K-tree allreduce) beside the pipeline, the ring and <collectives_2d>: cycles, colors, memory and longest path
at several mesh sizes.

sizes: mesh sizes P, with commas; tile: rows and columns of W on a PE; rows: sums along rows instead of columns; lines:
how many columns (with rows: rows) of P PEs stand beside each other (0: P). A line computes for itself, so that one
takes the cycles of P. y is f16 as x and W are, but for <collectives_2d>, which sums f32 (its sum to the first PE, then
its broadcast). Every product is compared with numpy. Cycles are those of the slowest PE, colors and bytes the most that
a PE uses. The last two columns are hops and software stages of the longest path: of all steps of the allreduce one
after the other.
"""

import numpy as np

import meshlang
from meshlang import placement
from meshlang.host.paths import ktree_chains, longest_route

ALGORITHMS = (
    ("pipeline", 0, 1),
    ("ring", 1, 1),
    ("K-tree, K = 1", 2, 1),
    ("K-tree, K = 2", 2, 2),
    ("K-tree, K = 3", 2, 3),
    ("collectives_2d", 3, 1),
)


def longest_path(program, name, P, K):
    """Hops and software stages."""
    if name == "pipeline":
        return (P - 1) * longest_route(program, {0, 1}) + longest_route(program, {2}), P - 1
    if name == "ring":
        return 2 * (P - 1) * longest_route(program), 2 * (P - 1)
    if (
        name == "collectives_2d"
    ):  # it sets its routes as it runs: a chain from neighbour to neighbour, and one stream back
        return 2 * (P - 1), P - 1
    chains = ktree_chains(P, K)
    hops = sum(chain * longest_route(program, {2 * k, 2 * k + 1}) for k, chain in enumerate(chains))
    return hops + longest_route(program, {2 * K}), sum(chains)


context = meshlang.run_context()
args = meshlang.params(sizes="4,8,16", tile=4, rows=False, lines=0)
sizes, tile = [int(size) for size in args["sizes"].split(",")], args["tile"]
context.check(args["lines"] >= 0, f"lines is 0 or positive, found {args['lines']}")
context.check(min(sizes) >= 2 and tile >= 1, f"mesh sizes start at 2 and tiles at 1, found {args['sizes']} and {tile}")
rng = np.random.default_rng(context.seed or 0)
rows = []
print(f"{'P':>4}  {'algorithm':14} {'cycles':>8} {'colors':>7} {'bytes':>7} {'hops':>5} {'stages':>7}")
for P in sizes:
    lines = args["lines"] or P
    height, width = (lines, P) if args["rows"] else (P, lines)
    n = P * tile
    x, W = rng.uniform(-1, 1, n).astype(np.float16), rng.uniform(-1, 1, (n, lines * tile)).astype(np.float16)
    expected = x.astype(np.float64) @ W.astype(np.float64)
    # n products and sums round once each; no partial sum is larger than that of the absolute values
    bound = (
        n
        * float(np.finfo(np.float16).eps)
        / 2
        * float((np.abs(x).astype(np.float64) @ np.abs(W).astype(np.float64)).max())
    )
    for name, number, K in ALGORITHMS:
        program = meshlang.compile(
            "layout.csl",
            params={
                "P": P,
                "lines": lines,
                "Mt": tile,
                "Nt": tile,
                "algorithm": number,
                "K": K,
                "along_rows": args["rows"],
                "single_sum": name == "collectives_2d",
            },
        )
        with program.start(echo=False) as fabric:
            fabric.write("x", (placement.block_columns if args["rows"] else placement.block_rows)(x, height, width))
            fabric.write("W", (placement.transposed if args["rows"] else placement.block)(W, height, width))
            fabric.launch("run")
            y = fabric.read("y", count=-(-tile // P) * P if name == "ring" else tile)[..., :tile]
            ticks = fabric.read("ticks", count=6).astype(np.int64)
        y = y.swapaxes(0, 1) if args["rows"] else y
        context.check(bool((y == y[0]).all()), f"{name}, P = {P}: every PE of a line should have the same result")
        error = meshlang.largest_error(y[0].reshape(-1), expected)
        context.check_error(error, bound, f"{name}, P = {P}")
        cycles = int((ticks[..., 3:6] @ [1, 1 << 16, 1 << 32] - ticks[..., 0:3] @ [1, 1 << 16, 1 << 32]).max())
        used = int(np.sum([configured >= 0 for configured in program.ir.fabric.color.values()], axis=0).max())
        nbytes = max(t["memory"] for t in program.resources()["tiles"])
        hops, stages = longest_path(program, name, P, K)
        rows.append([P, name, cycles, used, nbytes, hops, stages])
        print(f"{P:4}  {name:14} {cycles:8} {used:7} {nbytes:7} {hops:5} {stages:7}")
context.result(rows=rows)
