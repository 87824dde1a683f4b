"""Tables 1, 6, 7 and 8: what the machine has, a GEMV beside GPUs, and energy.

Energy is power times time: the wafer's and the GPUs' power are numbers of published.toml. A ratio is energy of the GPUs over
that of the wafer.

Or it is what was done: wavelets over links and floating-point operations of a run, each times an energy. That of a hop can be derived from
published numbers; for that of an operation there is no public source, so it is the caller's or there is none.
"""

from __future__ import annotations

import math

from meshlang.ir.isa import PE_MEMORY

from ..cap import machine, table
from .inference import GPUS, rates
from .kernels import gemv
from .lab import DERIVED, EXTRAPOLATED, MEASURED, Lab, Row, Scale, clock, published


def ratio(gpu_seconds: float, gpus: int, wafer_seconds: float) -> float:
    """Energy of `gpus` GPUs that take `gpu_seconds`, over the wafer's."""
    e = published()["energy"]
    return gpu_seconds * gpus * e["gpu_watts"]["value"] / (wafer_seconds * e["wafer_watts"]["value"])


def table1(lab: Lab, scale: Scale) -> list[Row]:
    t = published()["table1"]
    pes = int(table()["machine"]["wse2"]["pes"]["value"])
    whole = machine("wse2", pes, 1, True)
    written = float(table()["machine"]["wse2"]["bytes_written"]["value"])
    bandwidth = pes * (whole.bytes_read + written) * clock()
    return [
        Row("PEs of a WSE-2", pes, t["cores"], "PEs", DERIVED, "the machine table of `meshlang cap`"),
        Row("memory", pes * PE_MEMORY, t["wse2_memory_bytes"], "bytes", DERIVED, f"{PE_MEMORY:,} bytes of a PE"),
        Row("memory bandwidth", bandwidth, t["wse2_bandwidth"], "bytes/s", DERIVED,
            f"{whole.bytes_read:g} bytes read and {written:g} written a cycle by a PE, {clock() / 1e9:g} GHz"),
    ]  # fmt: skip


def table6(lab: Lab, scale: Scale) -> list[Row]:
    t, e, P = published()["table6"], published()["energy"], scale.mesh
    mesh = published()["figure10"]["mesh"]
    out = []
    for size, wafer, gpus, ratios in zip(t["sizes"], t["wafer_ms"], t["gpu_ms"], t["ratios"]):
        tile = -(-size // mesh)
        cycles = gemv(lab, P, tile)["K-tree, K = 2"]["cycles"]
        how = f"programs/compare_gemv, K-tree with K = 2, tiles of {tile} x {tile}, one column of {P} PEs"
        name = f"GEMV of {size} x {size}"
        if mesh == P:
            out.append(Row(name, 1e3 * cycles / clock(), wafer, "ms", MEASURED, f"{how}: {cycles:,} cycles"))
        else:
            out.append(Row(f"GEMV of {P * tile} x {P * tile}", 1e3 * cycles / clock(), None, "ms", MEASURED, how))
        for system, count, ms, said in zip(GPUS, e["gpus"]["value"], gpus, ratios):
            gpu = system.removeprefix("SGLang, ")
            out.append(
                Row(f"{name}, energy of {gpu}, the model with the published times", ratio(ms, count, wafer), said, "times", DERIVED,
                    f"{count} x {e['gpu_watts']['value']} W x {ms} ms over {e['wafer_watts']['value']} W x {wafer} ms")
            )  # fmt: skip
            if mesh == P:
                out.append(
                    Row(f"{name}, energy of {gpu}", ratio(ms, count, 1e3 * cycles / clock()), said, "times", DERIVED,
                        "the same with our time")
                )  # fmt: skip
    return out


def _phase(lab: Lab, scale: Scale, name: str, speeds: str) -> list[Row]:
    t, s, e, out = published()[name], published()[speeds], published()["energy"], []
    for model in (m for m in scale.models if m in t["ratios"]):
        rate, kind, how = rates(lab, scale, speeds, model)
        best = max(s["waferllm"][model])
        for system, count, gpu, said in zip(GPUS, e["gpus"]["value"], s["gpus"][model], t["ratios"][model]):
            what = f"{published()['models'][model]['name']}, energy of {system.removeprefix('SGLang, ')}"
            out.append(
                Row(f"{what}, the model with the published speeds", ratio(1 / gpu, count, 1 / best), said, "times", DERIVED,
                    f"{gpu} and {best} tokens/s")
            )  # fmt: skip
            out.append(
                Row(what, ratio(1 / gpu, count, 1 / rate), said, "times", kind if kind == EXTRAPOLATED else DERIVED,
                    f"{gpu} tokens/s and ours, {rate:,.0f}: {how}")
            )  # fmt: skip
    return out


def table7(lab: Lab, scale: Scale) -> list[Row]:
    return _phase(lab, scale, "table7", "table3")


def table8(lab: Lab, scale: Scale) -> list[Row]:
    return _phase(lab, scale, "table8", "table4")


PARTS = {"hop": "a wavelet over a link", "op": "a floating-point operation"}


def hop_picojoules() -> tuple[float, str]:
    """Of a wavelet over a link, and how it is derived."""
    e = published()["energy"]
    pes = int(table()["machine"]["wse2"]["pes"]["value"])
    pitch = math.sqrt(e["wafer_mm2"]["value"] / pes)
    bits, wire = e["wavelet_bits"]["value"], e["wire_pj_per_bit_mm"]["value"]
    return (
        bits * wire * pitch,
        f"{bits} bits x {wire} pJ per bit and mm x {pitch:.3f} mm, the side of a PE: {e['wafer_mm2']['value']:,} mm2 for {pes:,}",
    )


def counted(lab: Lab, scale: Scale) -> list[Row]:
    """A GEMV's energy by what it does."""
    P, tile = scale.mesh, 8
    found = lab.program("meshgemv", P=P, M=P * tile, N=P * tile)
    what = f"GEMV of {P * tile} x {P * tile} on {P} x {P} PEs"
    how = "programs/meshgemv, counted in the run, of all PEs"
    derived, why = hop_picojoules()
    each = {"hop": lab.energy.get("hop", derived), "op": lab.energy.get("op")}
    if each["op"] is None:
        why += "; an operation: no public source, --energy op=PJ gives one"
    reasons = {"hop": why, "op": ""} | dict.fromkeys(lab.energy, "--energy")
    out = [Row(f"{what}, {name}", found[name], None, name, MEASURED, how) for name in ("hops", "flops")]
    total = 0.0
    for name, count in (("hop", found["hops"]), ("op", found["flops"])):
        value = each[name]
        if value is None:
            continue
        total += count * value
        out.append(Row(f"energy of {PARTS[name]}", value, None, "pJ", DERIVED, reasons[name]))
        out.append(
            Row(f"{what}, energy of its {name}s", count * value, None, "pJ", DERIVED, "count times energy of each")
        )
    if each["op"] is not None:
        e = published()["energy"]
        pes = int(table()["machine"]["wse2"]["pes"]["value"])
        power = e["wafer_watts"]["value"] * P * P / pes * found["cycles_per_gemv"] / clock() * 1e12
        out.append(Row(f"{what}, energy", total, None, "pJ", DERIVED, "hops and operations, nothing else"))
        out.append(Row(f"{what}, energy by power and time", power, None, "pJ", DERIVED,
                       f"{e['wafer_watts']['value']} W x {P * P} of {pes:,} PEs x {found['cycles_per_gemv']:,.0f} cycles"))  # fmt: skip
    return out
