"""MeshGEMV on P x P PEs: y = x W with the K-tree allreduce, compared with numpy.

M and N are the sizes of W; where they are not multiples of P, rows and columns of zeros fill the mesh (0: 6 per PE). K:
phases of the tree (1: the pipeline). groups: groups of its first phase (0: about the square root of P where K is 2,
else automatic). rows: sums along rows instead of columns. f32: x, W and y are f32; f32_sum: x and W are f16, y is f32.
"""

import numpy as np

import meshlang
from meshlang import placement

context = meshlang.run_context()
args = meshlang.params(P=8, M=0, N=0, K=2, groups=0, rows=False, f32=False, f32_sum=False, repeat=1)
P, K = args["P"], args["K"]
context.check(P >= 2, f"MeshGEMV needs P >= 2, found {P}")
M, N = args["M"] or 6 * P, args["N"] or 6 * P
context.check(min(M, N, args["repeat"]) >= 1, f"M, N and repeat must be positive, found {M}, {N} and {args['repeat']}")
Mt, Nt = placement.tile_shape((M, N), P, P)
groups = args["groups"] or (max(1, round(P**0.5)) if K == 2 else 0)
dtype = np.float32 if args["f32"] else np.float16
sum_dtype = np.float32 if args["f32_sum"] else dtype

rng = np.random.default_rng(context.seed or 0)
x = rng.uniform(-1, 1, M).astype(dtype)
W = np.empty((M, N), dtype)
some = max(1, (1 << 24) // N)  # rows that are made at a time: in double precision a large matrix would take gigabytes
for i in range(0, M, some):
    W[i : i + some] = rng.uniform(-1, 1, (min(some, M - i), N))

program = meshlang.compile(
    "layout.csl",
    params={
        "P": P,
        "Mt": Mt,
        "Nt": Nt,
        "K": K,
        "groups": groups,
        "along_rows": args["rows"],
        "f32_data": args["f32"],
        "f32_sum": args["f32_sum"],
    },
)
with program.start() as fabric:
    fabric.write("x", (placement.block_columns if args["rows"] else placement.block_rows)(x, P, P))
    fabric.write("W", (placement.transposed if args["rows"] else placement.block)(W, P, P))
    before = fabric.stats()
    fabric.launch("run", args["repeat"])
    after = fabric.stats()
    y_all = fabric.read("y", count=Nt)
    ticks = fabric.read("ticks", count=6).astype(np.int64)

if args["rows"]:
    y_all = y_all.swapaxes(0, 1)
y = y_all[0].reshape(-1)[:N]
context.check(
    bool((y_all == y_all[0]).all()),
    f"every PE of a {'row' if args['rows'] else 'column'} should hold the same part of y",
)
expected = sum(x[i : i + some].astype(np.float64) @ W[i : i + some].astype(np.float64) for i in range(0, M, some))
error = meshlang.largest_error(y, expected)
# every element is a sum of M products rounded at most M times to the type's precision
bound = M * float(np.abs(x).max()) * float(np.finfo(sum_dtype).eps) * 4
clock = ticks[..., 0:3] @ [1, 1 << 16, 1 << 32], ticks[..., 3:6] @ [1, 1 << 16, 1 << 32]
cycles = float((clock[1] - clock[0]).mean()) / args["repeat"]

print(f"y[:4] = {y[:4]}   numpy: {expected[:4].astype(sum_dtype)}")
tree = f"{groups} groups" if K == 2 else f"{K} phase{'s' if K > 1 else ''}"
print(
    f"{M} x {N} on {P} x {P} PEs, {tree}: {cycles:.0f} cycles per GEMV, largest error {error:.2e} (bound {bound:.2e})"
)
context.check_error(error, bound)
# of a GEMV, of all PEs: wavelets over links, floating-point operations
work = {name: (after[name] - before[name]) / args["repeat"] for name in ("hops", "flops")}
context.result(y=y, cycles_per_gemv=cycles, max_error=error, **work)
