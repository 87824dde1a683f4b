"""MeshGEMV on P x P PEs: y = x W with the K-tree allreduce, compared with numpy.

M and N are the sizes of W; where they are not multiples of P, rows and columns of zeros fill the mesh (0: 6 per PE).
"""

import numpy as np

import meshlang

context = meshlang.run_context()
args = meshlang.params(P=8, M=0, N=0, groups=0, f32=False, repeat=1)
P = args["P"]
context.check(P >= 2, f"MeshGEMV needs P >= 2, found {P}")
M, N = args["M"] or 6 * P, args["N"] or 6 * P
Mt, Nt = -(-M // P), -(-N // P)
groups = args["groups"] or max(1, round(P ** 0.5))
dtype = np.float32 if args["f32"] else np.float16

rng = np.random.default_rng(context.seed or 0)
x = rng.uniform(-1, 1, M).astype(dtype)
W = rng.uniform(-1, 1, (M, N)).astype(dtype)
x_padded = np.zeros(P * Mt, dtype)
x_padded[:M] = x
W_padded = np.zeros((P * Mt, P * Nt), dtype)
W_padded[:M, :N] = W

program = meshlang.compile("layout.csl", params={"P": P, "Mt": Mt, "Nt": Nt, "groups": groups, "f32_data": int(args["f32"])})
with program.start() as fabric:
    # PE (row i, column j): the i-th part of x, and tile (i, j) of W in row-major order
    fabric.write("x", np.broadcast_to(x_padded.reshape(P, 1, Mt), (P, P, Mt)))
    fabric.write("W", W_padded.reshape(P, Mt, P, Nt).transpose(0, 2, 1, 3).reshape(P, P, Mt * Nt))
    fabric.launch("run", args["repeat"])
    y_all = fabric.read("y", count=Nt)
    ticks = fabric.read("ticks", count=6).astype(np.int64)

y = y_all[0].reshape(-1)[:N]
context.check(bool((y_all == y_all[0]).all()), "every PE of a column should hold the same part of y")
expected = x.astype(np.float64) @ W.astype(np.float64)
error = float(np.abs(y - expected).max())
# every element is a sum of M products rounded at most M times to the type's precision
bound = M * float(np.abs(x).max()) * float(np.finfo(dtype).eps) * 4
clock = ticks[..., 0:3] @ [1, 1 << 16, 1 << 32], ticks[..., 3:6] @ [1, 1 << 16, 1 << 32]
cycles = float((clock[1] - clock[0]).mean()) / args["repeat"]

print(f"y[:4] = {y[:4]}   numpy: {expected[:4].astype(dtype)}")
print(f"{M} x {N} on {P} x {P} PEs, {groups} groups: {cycles:.0f} cycles per GEMV, largest error {error:.2e} (bound {bound:.2e})")
context.check(error <= bound, f"the largest error {error:.3e} is above the bound {bound:.3e}")
context.result(y=y, cycles_per_gemv=cycles, max_error=error)
