"""Figures 6, 8, 9 and 10: GEMM and GEMV beside their baselines, and WaferLLM's own kernels on a WSE-3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .lab import CHECKOUT, DERIVED, MEASURED, THEIRS, Lab, Row, Scale, published

# figure 8's formulas in N, the PEs of a line; K is 2. An order of growth stays a text.
FORMULAS: dict[str, Callable[[int], float]] = {
    "N": lambda N: N,
    "2 N": lambda N: 2 * N,
    "K N^(1/K) / 2": lambda N: N**0.5,
}
GEMM_COLUMNS = ("size", "name", "cycles", "colors", "bytes", "hops", "stages")
GEMV_COLUMNS = ("P", "name", "cycles", "colors", "bytes", "hops", "stages")


def gemm(lab: Lab, mesh: int, tile: int) -> dict[str, dict[str, Any]]:
    """What programs/compare_gemm found on mesh x mesh PEs, by algorithm."""
    rows = lab.program("compare_gemm", sizes=str(mesh), tile=tile)["rows"]
    return {row[1]: dict(zip(GEMM_COLUMNS, row)) for row in rows}


def gemv(lab: Lab, mesh: int, tile: int) -> dict[str, dict[str, Any]]:
    """What programs/compare_gemv found on one column of `mesh` PEs, by algorithm."""
    rows = lab.program("compare_gemv", sizes=str(mesh), tile=tile, lines=1)["rows"]
    return {row[1]: dict(zip(GEMV_COLUMNS, row)) for row in rows}


def figure6(lab: Lab, scale: Scale) -> list[Row]:
    p, P, half = published()["figure6"], scale.mesh, max(scale.mesh // 2, 2)
    small, large = gemm(lab, half, 2), gemm(lab, P, 2)
    out = []
    for name in ("MeshGEMM", "Cannon", "allgather", "SUMMA"):
        how = f"programs/compare_gemm, tile=2, read off the compiled program; on {half} x {half} PEs: {{}}"
        for column, unit, said in (("hops", "hops", p[name]["hops"]), ("colors", "colors", f"paths {p[name]['paths']}"),
                                   ("bytes", "bytes", None)):  # fmt: skip
            out.append(
                Row(f"{name}, {column} of a step on {P} x {P} PEs", large[name][column], said, unit, MEASURED,
                    how.format(small[name][column]))
            )  # fmt: skip
    return out


def figure8(lab: Lab, scale: Scale) -> list[Row]:
    p, P = published()["figure8"], scale.mesh
    found = gemv(lab, P, 4)
    out = []
    for name in ("pipeline", "ring", "K-tree, K = 2"):
        row = found[name]
        for column in ("stages", "hops"):
            formula = p[name][column]
            said = FORMULAS[formula](P) if formula in FORMULAS else formula
            how = f"programs/compare_gemv on a column of {P} PEs, read off the compiled program; published: {formula}"
            out.append(Row(f"{name}, {column}", row[column], said, column, MEASURED, how))
    return out


def figure9(lab: Lab, scale: Scale) -> list[Row]:
    p, P = published()["figure9"], scale.mesh
    out = []
    for tile in (1, 4, 8):
        found = gemm(lab, P, tile)
        how = f"programs/compare_gemm on {P} x {P} PEs, tiles of {tile} x {tile}"
        out += [
            Row(f"{name}, size {P * tile}", row["cycles"], None, "cycles", MEASURED, how) for name, row in found.items()
        ]
        out += [
            Row(f"MeshGEMM against {name}, size {P * tile}", found[name]["cycles"] / found["MeshGEMM"]["cycles"],
                p["faster"], "times", DERIVED, "ratio of the two; published for meshes of up to 720 x 720")
            for name in ("SUMMA", "Cannon")
        ]  # fmt: skip
    return out


def figure10(lab: Lab, scale: Scale) -> list[Row]:
    p, P = published()["figure10"], scale.mesh
    out = []
    for size in p["sizes"]:
        tile = -(-size // p["mesh"])
        found = gemv(lab, P, tile)
        n = f"{P * tile} elements" if P != p["mesh"] else f"size {size}"
        how = f"programs/compare_gemv, tiles of {tile} x {tile}, one column of {P} PEs: all columns do the same, none waits for another"
        out += [Row(f"{name}, {n}", row["cycles"], None, "cycles", MEASURED, how) for name, row in found.items()]
        best = found["K-tree, K = 2"]["cycles"]
        said = p["faster"] if P == p["mesh"] else None
        out += [
            Row(f"K-tree (K = 2) against {name}, {n}", found[name]["cycles"] / best, said, "times", DERIVED, "ratio of the two")
            for name in ("pipeline", "collectives_2d")
        ]  # fmt: skip
    return out


def silicon(lab: Lab, scale: Scale) -> list[Row]:
    """Our MeshGEMM and MeshGEMV at the shapes at which WaferLLM's were measured on a WSE-3, in that machine's profile."""
    s = published()["silicon"]
    meshes = [int(P) for P in s["gemm"]["cycles"] if int(P) <= scale.mesh]
    out = []
    for P in meshes[-1:]:
        for tile, said in zip(s["gemm"]["tiles"], s["gemm"]["cycles"][str(P)]):
            found = lab.program("meshgemm", "wse3", "wse3-silicon", P=P, M=P * tile, K=P * tile, N=P * tile)
            out.append(
                Row(f"MeshGEMM, {P} x {P} PEs, tiles of {tile}", found["cycles"], said, "cycles", MEASURED,
                    "programs/meshgemm, profile wse3-silicon")
            )  # fmt: skip
        for tile, said in zip(s["gemv"]["tiles"], s["gemv"]["cycles"][str(P)]):
            found = lab.program(
                "meshgemv", "wse3", "wse3-silicon", P=P, M=P * tile, N=P * tile, groups=s["gemv"]["groups"]
            )
            out.append(
                Row(f"MeshGEMV, {P} x {P} PEs, tiles of {tile}", found["cycles_per_gemv"], said, "cycles", MEASURED,
                    "programs/meshgemv, profile wse3-silicon")
            )  # fmt: skip
    return out


def waferllm(lab: Lab, scale: Scale) -> list[Row]:
    """WaferLLM's own programs, of the checkout that MESHLANG_WAFERLLM names, beside ours at the same sizes, on a WSE-2."""
    P = scale.mesh
    groups = max(g for g in range(1, P + 1) if P % g == 0 and g * g <= P)
    layer = {
        "P": P,
        "dim": 8 * P,
        "n_heads": 1,
        "n_kv_heads": 1,
        "head_dim": 8 * P,
        "seq_len": 8 * P,
        "ffn_dim": 16 * P,
    }
    ours: dict[str, Any] = {
        "W": P,
        "H": P,
        "hidden": 8 * P,
        "heads": 1,
        "kv_heads": 1,
        "head_size": 8 * P,
        "feed": 16 * P,
    }
    out: list[Row] = []

    def beside(what: str, kernel: str, sizes: dict[str, Any], cycles: float, over: str, how: str) -> None:
        """over: what our program's cycles are of its PEs' ("mean" or "max"); of WaferLLM's figures the same is taken."""
        theirs = lab.program(THEIRS + kernel, **sizes)[over]
        out.extend([
            Row(f"{what}, WaferLLM's", theirs, None, "cycles", CHECKOUT, f"{kernel}/WSE-2 of the checkout, its own timer, {over} of the PEs"),
            Row(f"{what}, here", cycles, None, "cycles", MEASURED, f"{how}; {over} of the PEs"),
            Row(f"{what}, WaferLLM's over here", theirs / cycles, None, "times", DERIVED, "ratio of the two"),
        ])  # fmt: skip

    for tile in (1, 4, 8):
        sizes: dict[str, Any] = {"M": P * tile, "K": P * tile, "N": P * tile}
        found = lab.program("meshgemm", P=P, **sizes)["cycles"]
        beside(f"MeshGEMM, {P} x {P} PEs, tiles of {tile}", "MeshGEMM", {"P": P, **sizes}, found, "mean",
               "programs/meshgemm")  # fmt: skip
    for tile in (1, 8, 16):
        sizes = {"M": P * tile, "N": P * tile}
        found = lab.program("meshgemv", P=P, **sizes, groups=groups)["cycles_per_gemv"]
        beside(f"MeshGEMV, {P} x {P} PEs, tiles of {tile}, {groups} groups", "MeshGEMV", {"P": P, **sizes, "group_num": groups}, found,
               "mean", "programs/meshgemv, a GEMV of several one after the other")  # fmt: skip
    what = f"{P} x {P} PEs, {8 * P} elements, one head, feed-forward {16 * P}, {8 * P} tokens"
    left_out = "WaferLLM's published code leaves parts of a layer out (docs/conformance.md)"
    found = lab.program("decoder", **ours, tokens=1, context=8 * P - 1, capacity=8)["cycles"][-1]
    beside(
        f"decoding layer, {what}",
        "Decode",
        {**layer, "bsz": 1, "group_num": groups},
        found,
        "max",
        f"programs/decoder; {left_out}",
    )
    found = lab.program("prefill", **ours, tokens=8 * P)["cycles"]
    beside(f"prefill layer, {what}", "Prefill", layer, found, "max", f"programs/prefill; {left_out}")
    return out
