"""WaferLLM's programs (OSDI'25, 2cd13b5), run as they are, and what their PE code computes, step by step in numpy.

`run` starts a folder's run_sim.sh in a scratch copy. Its host script prints timings and few results, so a hook saves
all variables of all PEs before and after one pass of the kernel. The models below take the first and have to arrive at
the second, bit for bit: they follow the order in which the PE code adds, and round to f16 where it does, mistakes of
the published code included (docs/conformance.md lists those).

A variable is an array [P, P, elements], rows (y) first, of float16.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

CHECKOUT = os.environ.get("MESHLANG_WAFERLLM")

# Runs in the process of the host script. One extra pass before the first real one, and back: the script itself notices
# nothing.
HOOK = """
import os, sys
if os.environ.get("WAFERLLM_STATE") and "cs_python" in sys.argv:
    import numpy as np
    np.set_printoptions(threshold=sys.maxsize)
    np.random.seed(7)
    from meshlang.fabric.snapshot import put, take
    from meshlang.host.sdk.runtime import SdkRuntime
    original = SdkRuntime.launch

    def variables(session, prefix):
        machine, out = session.machine, {}
        tiles, tile_of = machine.program.tiles, machine.state.tile_of
        for o in tiles[0].objects:
            places = [{p.name: p for p in t.objects}.get(o.name) for t in tiles]
            if any(p is None or p.size != o.size for p in places):
                continue
            at = np.array([p.address for p in places])[tile_of]
            rows = (machine.mem_base + at)[:, None] + np.arange(o.size)
            out[prefix + o.name] = machine.memory[rows].reshape(machine.height, machine.width, o.size)
            out["at." + o.name] = at.reshape(machine.height, machine.width)
        return out

    def launch(self, name, *arguments, **options):
        if name.endswith("_host") and not os.path.exists(os.environ["WAFERLLM_STATE"]):
            self._session.settle()
            shot = take(self._session.machine)
            machine = self._session.machine
            memory, sizes = machine.memory.view(np.float16), {o.name: o.size // 2 for o in machine.program.tiles[0].objects}
            rows = {k[3:]: (machine.mem_base + at.ravel())[:, None] // 2 + np.arange(sizes[k[3:]])
                    for k, at in variables(self._session, "").items() if k.startswith("at.")}
            for name_, where in rows.items():
                if name_.endswith("_weight_tile"):      # with the script's weights the layer ends in infinities
                    memory[where] /= np.float16(8)
            if "Z_tile" in rows:                        # Prefill reads it and never sets it: with zeros its second half would be NaN
                memory[rows["Z_tile"]] = memory[rows["X_tile"]]
            state = variables(self._session, "before.")
            original(self, name, np.int16(0), np.int16(1), nonblock=False)
            state.update(variables(self._session, "after."))
            np.savez(os.environ["WAFERLLM_STATE"], **state)
            put(self._session.machine, shot)
        return original(self, name, *arguments, **options)

    SdkRuntime.launch = launch
"""


def run(folder: str, arguments: list[str], tmp_path: Path) -> SimpleNamespace:
    """Run a folder's run_sim.sh. Results: stdout, before, after (variables by name), at (their addresses)."""
    scratch = tmp_path / "copy"
    shutil.copytree(Path(str(CHECKOUT)) / folder, scratch)
    # the last lines of Decode/WSE-3/run_sim.sh remove files that the vendor's appliance leaves, and fail if there are
    # none
    (scratch / "wsjob-none.json").write_text("{}")
    (scratch / "run_meta.json").write_text("{}")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(HOOK)
    path = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])
    result = subprocess.run(
        [sys.executable, "-m", "meshlang", "sdk", "--", "bash", "run_sim.sh", *arguments],
        cwd=scratch,
        text=True,
        capture_output=True,
        timeout=1800,
        env={**os.environ, "PYTHONPATH": path, "WAFERLLM_STATE": str(tmp_path / "state.npz")},
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    out = SimpleNamespace(stdout=result.stdout, stderr=result.stderr, before={}, after={}, at={})
    with np.load(tmp_path / "state.npz") as state:
        for key in state.files:
            which, _, name = key.partition(".")
            value = state[key]
            getattr(out, which)[name] = (
                value if which == "at" or value.shape[-1] % 2 else np.ascontiguousarray(value).view(np.float16)
            )
    return out


def fma(a, b, c):
    """a * b + c, rounded once (the product is exact in double precision)."""
    return (a.astype(np.float64) * b.astype(np.float64) + c.astype(np.float64)).astype(np.float16)


H = np.float16


def exp(x):
    return np.exp(x.astype(np.float64)).astype(np.float16)


def root(x):
    return np.sqrt(x.astype(np.float64)).astype(np.float16)


# ---------------------------------------------------------------- Decode


def chain(v, first: int, step: int, n: int, combine):
    """What arrives at the end of a chain of n PEs along axis 0: each adds what it receives to its own value."""
    total = v[first]
    for i in range(1, n):
        total = combine(total, v[first + i * step])
    return total


def tree(v, group: int, root_1: int, root_2: int, wse3: bool, combine=np.add):
    """Both phases of the two-tree reduction along axis 0, and the broadcast. WSE-2 takes what comes from the far end
    first, WSE-3 what comes on the first of two alternating colors."""

    def meet(own, lower, upper, odd):
        first, second = (upper, lower) if odd or not wse3 else (lower, upper)
        for x in (first, second):
            own = own if x is None else combine(x, own)
        return own

    P = len(v)
    partial = []
    for base in range(0, P, group):
        mid = base + root_1
        lower = chain(v, base, 1, root_1, combine) if root_1 else None
        upper = chain(v, base + group - 1, -1, group - 1 - root_1, combine) if root_1 < group - 1 else None
        partial.append(meet(v[mid], lower, upper, root_1 % 2))
    q = root_2 // group
    lower = chain(partial, 0, 1, q, combine) if q else None
    upper = chain(partial, len(partial) - 1, -1, len(partial) - 1 - q, combine) if q < len(partial) - 1 else None
    total = meet(partial[q], lower, upper, q % 2)
    return np.broadcast_to(total, v.shape).copy()


def vecmat(left, right, out, batch: int):
    """out [P, P, batch * n] += left @ right, right stored row by row; each product is added in the order of the
    rows."""
    k = left.shape[2] // batch
    n = right.shape[2] // k
    for b in range(batch):
        part = out[:, :, b * n : (b + 1) * n]
        for i in range(k):
            part = fma(right[:, :, i * n : (i + 1) * n], left[:, :, b * k + i, None], part)
        out[:, :, b * n : (b + 1) * n] = part
    return out


def decode(before: dict, config: dict, wse3: bool) -> dict:
    """One decoder layer for one token per sequence of the batch, as Decode/*/src/decode.csl computes it."""
    P, batch = config["P"], config["bsz"]
    d, s, f = config["dim"] // P, config["seq_len"] // P, config["ffn_dim"] // P
    group = P // config["group_num"]
    roots = group // 2, config["group_num"] // 2 * group + group // 2
    # WSE-3 takes the head's dimension also as that of the model
    eps, width = H(0.000001), H(config["head_dim"] // P * P if wse3 else d * P)
    X, W = before["X_tile"], before["W_tile"]

    def along_y(v, combine=np.add):
        return tree(v, group, *roots, wse3, combine)

    def along_x(v):
        return along_y(v.swapaxes(0, 1)).swapaxes(0, 1)

    def sums(v, n):
        out = np.zeros((P, P, batch), H)
        for b in range(batch):
            for i in range(n):
                out[:, :, b] = out[:, :, b] + v[:, :, b * n + i]
        return out

    def norm(v, n):
        """Scaled squares times W (the published code norms the squares, not the values); n elements are divided by the
        root."""
        squares = v * v
        total = along_y(sums(squares, d))
        out = np.concatenate([squares[:, :, b * d : (b + 1) * d] * W for b in range(batch)], axis=2)
        for b in range(batch):
            part = slice(b * n, min((b + 1) * n, batch * d))
            out[:, :, part] = out[:, :, part] * (H(1) / root(total[:, :, b, None] / width + eps))
        return out, total

    def fast_exp(x):
        y = H(1) + x / H(256)
        y = y * y
        return y * y

    def zeros(n):
        return np.zeros((P, P, n), H)

    x_norm, _ = norm(X, d)
    qkv = along_y(
        np.concatenate([vecmat(x_norm, before[f"{m}_weight_tile"], zeros(batch * d), batch) for m in "QKV"], axis=2)
    )
    sin, cos = before["freqs_sin"], before["freqs_cos"]
    for first in [m * batch * d + b * d for m in range(2) for b in range(batch)]:
        # @set_dsd_base_addr takes the odd elements' vector back to the first element: the code turns the even ones
        # twice, the odd ones never
        even = slice(first, first + 2 * (d // 2), 2)
        qkv[:, :, even] = qkv[:, :, even] * cos + qkv[:, :, even] * sin
    score = along_x(vecmat(qkv[:, :, : batch * d], before["XKCache_tile"], zeros(batch * s), batch))
    score = score * (H(1) / root(width))
    largest = np.stack([np.maximum(score[:, :, b * s : (b + 1) * s].max(2), H(0)) for b in range(batch)], axis=2)
    largest = along_y(largest, np.maximum)
    score = np.concatenate(
        [fast_exp(score[:, :, b * s : (b + 1) * s] - largest[:, :, b, None]) for b in range(batch)], axis=2
    )
    total = along_y(sums(score, s))
    score = np.concatenate(
        [score[:, :, b * s : (b + 1) * s] * (H(1) / total[:, :, b, None]) for b in range(batch)], axis=2
    )
    output = along_y(vecmat(score, before["XVCache_tile"], zeros(batch * d), batch))
    h1 = along_x(vecmat(output, before["O_weight_tile"], zeros(batch * d), batch))
    z = X + h1
    z_norm, local_sum = norm(z, s)  # the published code takes vectors of seq_len / P here, not dim / P
    zz = along_y(
        np.concatenate(
            [vecmat(z_norm, before[f"{m}_weight_tile"], zeros(batch * f), batch) for m in ("UP", "GATE")], axis=2
        )
    )
    n = batch * d  # and as many elements here, of the first half
    zz[:, :, :n] = zz[:, :, :n] / (H(1) + fast_exp(-zz[:, :, :n]))
    z3 = zz[:, :, : batch * f] * zz[:, :, batch * f :]
    h2 = along_x(vecmat(z3, before["DOWN_weight_tile"], zeros(batch * d), batch))
    return {
        "X_norm_tile": x_norm,
        "QKV_tile": qkv,
        "score": score,
        "local_max": largest,
        "output_tile": output,
        "h1_tile": h1,
        "z_norm_tile": z_norm,
        "local_sum": local_sum,
        "ZZ_tile": zz,
        "z3_tile": z3,
        "h2_tile": h2,
        "Z_tile": z + h2,
    }


# ---------------------------------------------------------------- Prefill


def two_hop(P: int) -> np.ndarray:
    """Where each position of a row or column sends to: a ring that visits the even positions and comes back over the
    odd ones."""
    to = np.empty(P, int)
    for i in range(P):
        if i % 2 == 0:
            to[i] = i + 2 if i + 2 < P else P - 1 if P % 2 == 0 else P - 2
        else:
            to[i] = i - 2 if i > 1 else 0
    return to


class Prefill:
    """One pass of Prefill/WSE-2/src/prefill.csl. Variables are views of one memory, as on a PE: the code writes past
    some of them."""

    def __init__(self, before: dict, config: dict, at: dict):
        self.P = P = config["P"]
        self.d, self.s, self.f = config["dim"] // P, config["seq_len"] // P, config["ffn_dim"] // P
        sized = {n: v for n, v in before.items() if v.dtype == np.float16}
        assert all((at[n] == at[n][0, 0]).all() for n in sized if n.startswith("X_tmp_") or n == "local_max"), (
            "neighbours in memory differ"
        )
        # each variable where it lies relative to the others, on PE (0, 0); what is written past one reaches the next
        self.base = {n: int(at[n][0, 0]) // 2 for n in sized}
        self.memory = np.zeros((P, P, max(self.base[n] + v.shape[2] for n, v in sized.items()) + 4096), H)
        self.sizes = {n: v.shape[2] for n, v in sized.items()}
        for n, v in sized.items():
            self[n][:] = v
        self.to = two_hop(P)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.vector(name, self.sizes[name])

    def vector(self, name: str, n: int, offset: int = 0) -> np.ndarray:
        at = self.base[name] + offset
        return self.memory[:, :, at : at + n]

    # ------------------------------------------------------------ communication

    def along_x(self, v: np.ndarray, root_: int, combine=np.add) -> np.ndarray:
        """Chains from both ends of each row to column root_: own + what comes from the east, + what comes from the
        west."""
        v = v.swapaxes(0, 1)
        total = v[root_]
        if root_ < self.P - 1:
            total = combine(total, chain(v, self.P - 1, -1, self.P - 1 - root_, combine))
        if root_ > 0:
            total = combine(total, chain(v, 0, 1, root_, combine))
        return total

    def allreduce_x(self, v: np.ndarray, combine=np.add) -> np.ndarray:
        return np.broadcast_to(self.along_x(v, self.P // 2, combine)[:, None], v.shape).copy()

    def exchange(self, v: np.ndarray, axis: int, backwards: np.ndarray | None = None) -> np.ndarray:
        """Every PE's v, where the ring of its row (axis 1) or column (axis 0) takes it; rows of `backwards` go the
        other way."""
        out = np.empty_like(v)
        if axis == 0:
            out[self.to] = v
            return out
        for y in range(self.P):
            if backwards is not None and backwards[y]:
                out[y] = v[y][self.to]
            else:
                out[y, self.to] = v[y]
        return out

    # ------------------------------------------------------------ products

    def skew(self, data: str, other: str, n: int) -> np.ndarray:
        """Shift the left matrix as far as each row needs; returns which rows then have it in `other` (the rest in
        `data`)."""
        P, y = self.P, np.arange(self.P)
        steps = np.where(y % 2 == 0, y // 2, (y + 1) // 2)
        n = n // 4 * 4
        names = (data, other)
        for i in range(P // 2):
            # until its steps are done a row sends what it received last; then it goes on sending the same
            turn = np.minimum(i, steps) % 2
            sent = np.stack([self.vector(names[turn[r]], n)[r] for r in range(P)]).copy()
            got = self.exchange(sent, 1, y % 2 == 0)
            for r in range(P):
                self.vector(names[1 - turn[r]], n)[r] = got[r]
        return steps % 2 == 1

    def product(
        self,
        left: tuple[str, str],
        right: tuple[str, str],
        out: str,
        shape: tuple[int, int, int],
        in_other: np.ndarray | None,
    ) -> None:
        """P steps: multiply what is here, while both matrices move on. left, right: (buffer with the data, the other
        one)."""
        m, k, n = shape
        where = np.zeros(self.P, int) if in_other is None else in_other.astype(int)
        for step in range(self.P):
            a_from = [left[(w + step) % 2] for w in where]
            a_to = [left[(w + step + 1) % 2] for w in where]
            b_from, b_to = right[step % 2], right[(step + 1) % 2]
            a = np.stack([self.vector(a_from[r], m * k)[r] for r in range(self.P)]).copy()
            b = self.vector(b_from, k * n).copy()
            self.multiply(a, b, out, shape)
            size = m * k // 4 * 4
            got = self.exchange(a[:, :, :size], 1)
            for r in range(self.P):
                self.vector(a_to[r], size)[r] = got[r]
            size = k * n // 4 * 4
            self.vector(b_to, size)[:] = self.exchange(b[:, :, :size], 0)

    def multiply(self, a: np.ndarray, b: np.ndarray, out: str, shape: tuple[int, int, int]) -> None:
        m, k, n = shape
        total = self.vector(out, m * n)
        for i in range(k):
            for j in range(n):
                part = slice(j * m, (j + 1) * m)
                total[:, :, part] = fma(a[:, :, i * m : (i + 1) * m], b[:, :, i * n + j, None], total[:, :, part])

    def transposed_product(self) -> None:
        """score = XQ @ XK^T: XK moves down its columns, and each product is added up along the row to the column it
        belongs to."""
        P, s, d = self.P, self.s, self.d
        y = np.arange(P)
        offset = np.where(y == 0, 0, np.where(y % 2 == 0, P - y // 2, (y + 1) // 2))
        names = ("XK_tile", "seqLen_dim_tmp")
        self["seqLen_seqLen_tmp"][:] = 0
        for step in range(P):
            b = self.vector(names[step % 2], s * d).copy()
            self.multiply(self["XQ_tile"], b, "seqLen_seqLen_tmp", (s, d, s))
            size = s * d // 4 * 4
            self.vector(names[(step + 1) % 2], size)[:] = self.exchange(b[:, :, :size], 0)
            part = self["seqLen_seqLen_tmp"].copy()
            for r in range(P):
                current = (offset[r] + step) % P
                column = 0 if current == 0 else 2 * current - 1 if current <= P // 2 else 2 * (P - current)
                self["score"][r, column] = self.along_x(part[r : r + 1], column)[0]
            self["seqLen_seqLen_tmp"][:] = 0

    # ------------------------------------------------------------ the layer

    def norm(self, source: str, target: str, squares: str) -> None:
        """Columns are scaled with the weights, and then with the rows' factors, the k-th column with that of row k (a
        mistake). squares: where the sum of squares is taken from."""
        s, d = self.s, self.d
        self.vector("seqLen_dim_tmp", s * d)[:] = self[source] * self[source]
        total = self["local_sum"]
        total[:] = 0
        for k in range(d):
            total[:] = total + self.vector(squares, s, k * s)
        total[:] = self.allreduce_x(total.copy())
        total[:] = H(1) / root(total / H(d * self.P) + H(0.000001))
        for k in range(d):
            self.vector(target, s, k * s)[:] = self.vector(source, s, k * s) * self["W_tile"][:, :, k, None]
        for k in range(d):
            self.vector(target, s, k * s)[:] = self.vector(target, s, k * s) * total[:, :, k, None]

    def rotate(self, name: str) -> None:
        """Temporaries have d / 2 elements and are written with s: what is past their end is the next one's."""
        s, h = self.s, self.d // 2
        for i in range(h):
            even, odd = self.vector(name, s, 2 * i * s), self.vector(name, s, (2 * i + 1) * s)
            cos, sin = self["freqs_cos"][:, :, i, None], self["freqs_sin"][:, :, i, None]
            for tmp, v in (
                ("X_tmp_1", odd * cos),
                ("X_tmp_2", even * sin),
                ("X_tmp_3", even * cos),
                ("X_tmp_4", odd * sin),
            ):
                self.vector(tmp, s)[:] = v
            even[:, :, :h] = self["X_tmp_1"] - self["X_tmp_2"]
            odd[:, :, :h] = self["X_tmp_3"] + self["X_tmp_4"]

    def run(self) -> dict[str, np.ndarray]:
        P, s, d, f = self.P, self.s, self.d, self.f
        shape = (s, d, d)
        left = ("X_norm_tile", "seqLen_dim_tmp")
        self.norm("X_tile", "X_norm_tile", "seqLen_dim_tmp")
        self["XQ_tile"][:] = 0
        swapped = self.skew(*left, s * d)
        self.product(left, ("Q_weight_tile", "dim_dim_tmp"), "XQ_tile", shape, swapped)
        # these two begin with X_norm_tile everywhere, also where the shifted matrix is in the other buffer
        for m in "KV":
            self[f"X{m}_tile"][:] = 0
            self.product(left, (f"{m}_weight_tile", "dim_dim_tmp"), f"X{m}_tile", shape, None)
        self.rotate("XQ_tile")
        self.rotate("XK_tile")
        rotated = {n: self[n].copy() for n in ("XQ_tile", "XV_tile", "X_norm_tile")}
        self.transposed_product()
        score = self["score"]
        score[:] = score * (H(1) / root(H(d * P)))
        largest = self["local_max"]
        largest[:] = 0
        for k in range(s):
            largest[:] = np.maximum(largest, self.vector("score", s, k * s))
        largest[:] = self.allreduce_x(largest.copy(), np.maximum)
        for k in range(s):
            self.vector("score", s, k * s)[:] = self.vector("score", s, k * s) - largest
        self["seqLen_seqLen_tmp"][:] = exp(score)
        total = self["local_sum"]
        total[:] = 0
        for k in range(s):
            total[:] = total + self.vector("seqLen_seqLen_tmp", s, k * s)
        total[:] = H(1) / self.allreduce_x(total.copy())
        for k in range(s):
            self.vector("score", s, k * s)[:] = self.vector("seqLen_seqLen_tmp", s, k * s) * total
        self["output_tile"][:] = 0
        pair = ("score", "seqLen_seqLen_tmp")
        swapped = self.skew(*pair, s * s)
        self.product(pair, ("XV_tile", "seqLen_dim_tmp"), "output_tile", (s, s, d), swapped)
        self["h1_tile"][:] = 0
        pair = ("output_tile", "seqLen_dim_tmp")
        swapped = self.skew(*pair, s * d)
        self.product(pair, ("O_weight_tile", "dim_dim_tmp"), "h1_tile", shape, swapped)
        # Z is never set to X + h1: the branch that would do it has the number of the one before
        self.norm("Z_tile", "Z_norm_tile", "seqLen_seqLen_tmp")
        self["z1_tile"][:] = 0
        pair, shape = ("Z_norm_tile", "seqLen_dim_tmp"), (s, d, f)
        swapped = self.skew(*pair, s * d)
        self.product(pair, ("UP_weight_tile", "dim_ffnDim_tmp"), "z1_tile", shape, swapped)
        self["z2_tile"][:] = 0
        self.product(pair, ("GATE_weight_tile", "dim_ffnDim_tmp"), "z2_tile", shape, None)
        z2 = self["z2_tile"]
        z2[:] = (H(1) + exp(-z2)) / z2  # the inverse of what it should be
        self["z3_tile"][:] = self["z1_tile"] * z2
        self["h2_tile"][:] = 0
        pair = ("z3_tile", "seqLen_ffnDim_tmp")
        swapped = self.skew(*pair, s * f)
        self.product(pair, ("DOWN_weight_tile", "dim_ffnDim_tmp"), "h2_tile", (s, f, d), swapped)
        self["Z_tile"][:] = self["Z_tile"] + self["h2_tile"]
        names = (
            "XK_tile",
            "score",
            "local_max",
            "output_tile",
            "h1_tile",
            "local_sum",
            "Z_norm_tile",
            "z1_tile",
            "z2_tile",
            "z3_tile",
            "h2_tile",
            "Z_tile",
            "seqLen_dim_tmp",
            "seqLen_seqLen_tmp",
            "Q_weight_tile",
            "dim_dim_tmp",
            "DOWN_weight_tile",
            "X_tmp_1",
            "X_tmp_4",
        )
        return {**{n: self[n].copy() for n in names}, **{n: rotated[n] for n in ("XQ_tile",)}}


def prefill(before: dict, config: dict, at: dict) -> dict[str, np.ndarray]:
    """One decoder layer over a sequence, as Prefill/WSE-2 computes it."""
    return Prefill(before, config, at).run()
