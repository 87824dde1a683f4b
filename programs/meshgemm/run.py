"""MeshGEMM on P x P PEs: C = A B with two-hop interleaved shifts, compared with numpy in float64.

A is M x K, B is K x N (0: 4 P); where they are not multiples of P, rows and columns of zeros fill the mesh. f32: A, B
and C are f32; f32_sum: A and B are f16, C is f32. cannon: the rings wrap around. repeat: how many times the product is
computed.
"""

import numpy as np

import meshlang
from meshlang import placement

context = meshlang.run_context()
args = meshlang.params(P=8, M=0, K=0, N=0, f32=False, f32_sum=False, cannon=False, repeat=1)
P = args["P"]
context.check(P >= 2, f"MeshGEMM needs P >= 2, found {P}")
M, K, N = (args[name] or 4 * P for name in "MKN")
context.check(
    min(M, K, N, args["repeat"]) >= 1, f"M, K, N and repeat must be positive, found {M}, {K}, {N} and {args['repeat']}"
)
(Mt, Kt), Nt = placement.tile_shape((M, K), P, P), placement.tile_shape((K, N), P, P)[1]
dtype = np.float32 if args["f32"] else np.float16
sum_dtype = np.float32 if args["f32_sum"] else dtype

rng = np.random.default_rng(context.seed or 0)
A = rng.uniform(-1, 1, (M, K)).astype(dtype)
B = rng.uniform(-1, 1, (K, N)).astype(dtype)

program = meshlang.compile(
    "layout.csl",
    params={
        "P": P,
        "Mt": Mt,
        "Kt": Kt,
        "Nt": Nt,
        "f32_data": args["f32"],
        "f32_sum": args["f32_sum"],
        "interleave": not args["cannon"],
    },
)
with program.start() as fabric:
    fabric.write("A", placement.skewed_a(A, P, not args["cannon"]))
    fabric.write("B", placement.skewed_b(B, P, not args["cannon"]))
    fabric.launch("run", args["repeat"])
    C = placement.unblock(fabric.read("C", count=Mt * Nt), (M, N))
    ticks = fabric.read("ticks", count=6).astype(np.int64)

expected = A.astype(np.float64) @ B.astype(np.float64)
error = meshlang.largest_error(C, expected)
# an element is a sum of K products (one rounding each), whose partial sums are below those of the absolute values
bound = (
    K * float(np.finfo(sum_dtype).eps) / 2 * float((np.abs(A).astype(np.float64) @ np.abs(B).astype(np.float64)).max())
)
clock = ticks[..., 0:3] @ [1, 1 << 16, 1 << 32], ticks[..., 3:6] @ [1, 1 << 16, 1 << 32]
cycles = float((clock[1] - clock[0]).mean()) / args["repeat"]

print(f"C[0, :4] = {C[0, :4]}   numpy: {expected[0, :4].astype(sum_dtype)}")
print(
    f"{M} x {K} x {N} on {P} x {P} PEs, tiles {Mt} x {Kt} x {Nt}: {cycles:.0f} cycles, {cycles / P:.1f} a step; "
    f"largest error {error:.2e} (bound {bound:.2e})"
)
context.check_error(error, bound)
context.result(C=C, cycles=cycles, cycles_per_step=cycles / P, max_error=error, bound=bound)
