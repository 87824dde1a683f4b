"""y = a x + y on a row of W PEs with n elements each, compared with numpy."""

from pathlib import Path

import numpy as np

import meshlang

LAYOUT = Path(__file__).parent / "layout.csl"


def axpy(a: float, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, int]:
    """x, y: [W, n], a row for each PE. Returns a x + y, and the cycles it took."""
    width, n = x.shape
    program = meshlang.compile(LAYOUT, params={"W": width, "n": n})
    with program.start() as fabric:
        fabric.write("x", x.reshape(1, width, n))  # [height, width, elements]
        fabric.write("y", y.reshape(1, width, n))
        fabric.launch("axpy", float(a))
        return fabric.read("y").reshape(width, n), fabric.cycles


def main() -> None:
    args = meshlang.params(W=4, n=8, a=0.5)
    context = meshlang.run_context()
    rng = np.random.default_rng(context.seed or 0)
    x, y = rng.uniform(-1, 1, (2, args["W"], args["n"])).astype(np.float32)
    result, cycles = axpy(args["a"], x, y)
    error = meshlang.largest_error(result, args["a"] * x + y)
    print(f"{args['W']} PEs, {args['n']} elements each: largest error {error:.1e}")
    context.check_error(error, 1e-6)
    context.result(error=error, cycles=cycles)


if __name__ == "__main__":
    main()
