"""y = A x + b on a row of PEs, compared with numpy.

width: PEs. M and N: rows and columns of A. Where N is no multiple of width, columns of zeros fill the last PEs.
"""

import numpy as np

import meshlang

context = meshlang.run_context()
args = meshlang.params(width=4, M=6, N=8)
width, M, N = args["width"], args["M"], args["N"]
context.check(min(width, M, N) >= 1, f"width, M and N must be positive, found {width}, {M} and {N}")
columns = -(-N // width)

rng = np.random.default_rng(context.seed or 0)
A = rng.uniform(-1, 1, (M, N)).astype(np.float32)
x = rng.uniform(-1, 1, N).astype(np.float32)
b = rng.uniform(-1, 1, M).astype(np.float32)

program = meshlang.compile("layout.csl", params={"width": width, "M": M, "N": width * columns})
padded_A, padded_x = np.zeros((M, width * columns), np.float32), np.zeros(width * columns, np.float32)
padded_A[:, :N], padded_x[:N] = A, x
with program.start() as fabric:
    fabric.write("A", padded_A.T.reshape(1, width, columns * M))  # column after column
    fabric.write("x", padded_x.reshape(1, width, columns))
    y = np.zeros((1, width, M), np.float32)
    y[0, 0] = b
    fabric.write("y", y)
    fabric.launch("compute")
    y = fabric.read("y", count=M)[0, -1]

expected = (A.astype(np.float64) @ x + b).astype(np.float32)  # the same on every processor
print(f"y     {y}")
print(f"numpy {expected}")
context.check_error(meshlang.largest_error(y, expected), 1e-5 * (1 + float(np.abs(expected).max())), "y and A x + b")
context.result(y=y, cycles=fabric.cycles)
