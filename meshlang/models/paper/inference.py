"""Tables 2 to 5: prefill, decoding, a request from end to end, and how many tokens a cache holds.

At the table's own mesh one layer is run and counted as often as the model has layers, as the paper does. At a smaller one
every PE gets what it would have at the true mesh (elements of vectors and heads, columns of the feed-forward layer, cached
tokens), and the true mesh is extrapolated:

- decoding from strips. Its sums go along rows or along columns, one after the other, so that what the width and what the
  height cost add up: T(true, true) = T(true, n) + T(n, true) - T(n, n), with n the mesh that was asked for. Rows and
  columns have their true length.
- prefill from two squares and a straight line through them: the steps of a GEMM are as many as the mesh has PEs along a
  side. What a step of attention sums over the columns of a head is understated where they are more than the mesh has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..cap import machine
from ..llama import Placement
from ..llama_config import LlamaConfig
from .lab import DERIVED, EXTRAPOLATED, MEASURED, ONE_LAYER, QUOTED, Lab, Row, Scale, clock, line_through, published

# (lab, scale, model, side of the true mesh, tokens) -> cycles of a layer, where they come from, how
Measure = Callable[[Lab, Scale, str, int, int], tuple[float, str, str]]

GPUS = ("SGLang, A100", "SGLang, 8 A100", "SGLang, 2 x 8 A100")


def shape(model: str, true: int, width: int, height: int) -> dict[str, Any]:
    """Sizes of a layer for width x height PEs that give each PE what it has of the model's layer on true x true; the
    model's own along a side that is the true one."""
    m = published()["models"][model]
    hidden = m["hidden"] if height == true else height * -(-m["hidden"] // true)
    out = {"W": width, "H": height, "hidden": hidden}
    if width == true:
        return out | {name: m[name] for name in ("heads", "kv_heads", "head_size", "feed")}
    columns = min(max(true // m["kv_heads"], 1), m["head_size"] // 2)  # that share a key-value head
    elements = 2 * -(-(m["head_size"] // 2) // columns)
    kv_heads = max(width // columns, 1)
    return out | {
        "heads": kv_heads * m["heads"] // m["kv_heads"], "kv_heads": kv_heads, "head_size": elements * (width // kv_heads),
        "feed": width * -(-m["feed"] // true),
    }  # fmt: skip


def decode_cycles(lab: Lab, model: str, true: int, width: int, height: int, context: int) -> float:
    """Measured: one layer, one token, with `context` tokens in the cache as they would be on true x true PEs."""
    rows = -(-context // true)
    cached = context if height == true else height * rows
    sizes = shape(model, true, width, height)
    return float(lab.program("decoder", **sizes, tokens=1, context=cached, capacity=rows + 1)["cycles"][-1])


def prefill_cycles(lab: Lab, model: str, true: int, mesh: int, tokens: int) -> float:
    """Measured: one layer, a whole prompt."""
    length = tokens if mesh == true else mesh * -(-tokens // true)
    return float(lab.program("prefill", **shape(model, true, mesh, mesh), tokens=length)["cycles"])


def decoding(lab: Lab, scale: Scale, model: str, true: int, context: int) -> tuple[float, str, str]:
    """Cycles of a layer for one token on true x true PEs, where they come from, and how."""
    n = scale.mesh
    if n >= true:
        return decode_cycles(lab, model, true, true, true, context), ONE_LAYER, f"one layer on {true} x {true} PEs"
    wide, high, small = (decode_cycles(lab, model, true, *sides, context) for sides in ((true, n), (n, true), (n, n)))
    how = f"one layer, the load of a PE at {true}: {wide:,.0f} cycles on {true} x {n}, {high:,.0f} on {n} x {true}, {small:,.0f} on {n} x {n}"
    return wide + high - small, EXTRAPOLATED, how


def prefill(lab: Lab, scale: Scale, model: str, true: int, tokens: int) -> tuple[float, str, str]:
    """Cycles of a layer for a prompt on true x true PEs, where they come from, and how."""
    if scale.mesh >= true:
        return prefill_cycles(lab, model, true, true, tokens), ONE_LAYER, f"one layer on {true} x {true} PEs"
    meshes = max(scale.mesh // 2, 2), max(scale.mesh, 4)
    points = {mesh: prefill_cycles(lab, model, true, mesh, tokens) for mesh in meshes}
    shown = ", ".join(f"{cycles:,.0f} cycles on {mesh} x {mesh}" for mesh, cycles in points.items())
    return line_through(points, true), EXTRAPOLATED, f"one layer, the load of a PE at {true}: {shown}"


def _phase(lab: Lab, scale: Scale, table: str, measure: Measure, per_run: int) -> list[Row]:
    t, out = published()[table], []
    for model in scale.models:
        m = published()["models"][model]
        for number, (true, said) in enumerate(zip(t["meshes"], t["waferllm"][model])):
            cycles, kind, how = measure(lab, scale, model, true, t["context"])
            name = f"{m['name']}, {true} x {true} PEs"
            out.append(Row(f"{name}, a layer", cycles, clock() * per_run / said / m["layers"], "cycles", kind, how))
            out.append(Row(name, clock() * per_run / (cycles * m["layers"]), said, "tokens/s", kind, how))
            out += [Row(f"{name}: {system}", None, values[number], "tokens/s", QUOTED, t["source"])
                    for system, values in t["quoted"][model].items()]  # fmt: skip
        out += [
            Row(f"{m['name']}: {system}", None, value, "tokens/s", QUOTED, t["source"])
            for system, value in zip(GPUS, t["gpus"][model])
        ]
    return out


def table3(lab: Lab, scale: Scale) -> list[Row]:
    return _phase(lab, scale, "table3", prefill, published()["table3"]["context"])


def table4(lab: Lab, scale: Scale) -> list[Row]:
    return _phase(lab, scale, "table4", decoding, 1)


def table2(lab: Lab, scale: Scale) -> list[Row]:
    t, out = published()["table2"], []
    for model in (m for m in scale.models if m in t["meshes"]):
        m, (wide, narrow) = published()["models"][model], t["meshes"][model]
        for number, (given, new) in enumerate(t["columns"]):
            first, kind, how = prefill(lab, scale, model, wide, given)
            # a token's cycles grow evenly with the context: the middle one stands for all
            each, _, how_each = decoding(lab, scale, model, narrow, given + new // 2)
            seconds = (first + new * each) * m["layers"] / clock()
            name = f"{m['name']}, {given} in, {new} out"
            out.append(
                Row(name, new / seconds, t["waferllm"][model][number], "tokens/s", kind,
                    f"out / (prefill + out decodings in the middle of the output), without the hand-over; prefill: {how}; decoding: {how_each}")
            )  # fmt: skip
            out += [Row(f"{name}: {system}", None, values[number], "tokens/s", QUOTED, t["source"])
                    for system, values in t["quoted"][model].items()]  # fmt: skip
    return out


def capacity(model: Mapping[str, Any], mesh: int) -> tuple[int, int, int]:
    """(tokens of the cache that fit on a PE, layers of a region, regions): the wafer has as many regions of mesh x mesh
    PEs as it can, each with an equal part of the layers, weights in f16."""
    config = LlamaConfig(
        hidden_size=model["hidden"], heads=model["heads"], kv_heads=model["kv_heads"], head_size=model["head_size"],
        feed_forward_size=model["feed"], layers=model["layers"],
    )  # fmt: skip
    regions = machine("wse2", mesh, mesh, True).wafer // mesh**2
    layers = -(-model["layers"] // regions)

    def free(tokens: int) -> int:
        place = Placement(config, mesh, mesh, capacity=1, layers=layers)
        place.capacity = tokens
        return place.free()

    spare = free(1)
    return max(1 + spare // (free(1) - free(2)), 0), layers, regions


def table5(lab: Lab, scale: Scale) -> list[Row]:
    t, out = published()["table5"], []
    for model in (m for m in scale.models if m in t["meshes"]):
        m, mesh = published()["models"][model], t["meshes"][model]
        tokens, layers, regions = capacity(m, mesh)
        how = f"memory plan: {regions} regions of {mesh} x {mesh} PEs, {layers} of {m['layers']} layers in each, f16; code is not counted"
        for name, value, said in zip(t["columns"], (tokens, tokens * mesh), t["tokens"][model]):
            out.append(Row(f"{m['name']}, {name}", value, said, "tokens", DERIVED, how))
        out.append(
            Row(f"{m['name']}, shift over concatenate", float(mesh), t["tokens"][model][1] / t["tokens"][model][0], "times",
                DERIVED, "the number of rows")
        )  # fmt: skip
    H = scale.mesh
    found = lab.program("kv_cache", W=2, H=H, bytes=256)
    out.append(
        Row(f"shift over concatenate, {H} rows", found["shift"] / found["concatenate"], float(H), "times", MEASURED,
            f"programs/kv_cache: {found['concatenate']} and {found['shift']} tokens; published: as many times as there are rows")
    )  # fmt: skip
    return out


def rates(lab: Lab, scale: Scale, table: str, model: str) -> tuple[float, str, str]:
    """tokens/s at the mesh at which the paper is fastest, where from and how: of table 3 or 4."""
    t, m = published()[table], published()["models"][model]
    said: Sequence[float] = t["waferllm"][model]
    true = t["meshes"][said.index(max(said))]
    measure, per_run = (prefill, t["context"]) if table == "table3" else (decoding, 1)
    cycles, kind, how = measure(lab, scale, model, true, t["context"])
    return clock() * per_run / (cycles * m["layers"]), kind, how
