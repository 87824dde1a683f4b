"""MoE-CAP's metrics from what a run counted: S-MBU, S-MFU, cost, with every term.

Sources: MoE-CAP, arXiv 2412.07067 and 2505.11415, section 4. Sizes count parameters; `precision` is the bytes of one.

    S-MBU = (S_activated + S_KV) / TPOT / B_peak                                  over all steps: sum of bytes / sum of latencies
    S-MFU = T_token (F_attn + 2 N_router + 2 k N_expert) / F_peak

What the benchmark's own repository (Auto-CAP/MoE-CAP) computes instead is `as_repo`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshlang.fabric.timing import load_profile

from .llama_config import LlamaConfig

YEAR = 365.25 * 24 * 3600  # seconds


@dataclass(frozen=True)
class Sizes:
    """Parameters of a model's parts, in one layer but for `kv`: of a token in the caches of all layers."""

    layers: int
    attention: int
    expert: int  # or the dense feed-forward layer
    experts: int
    chosen: int
    shared: int
    router: int
    kv: int
    score: int  # multiply-adds of attention with one cached token
    precision: int

    @classmethod
    def of(cls, config: LlamaConfig, precision: int) -> Sizes:
        c, e = config, config.experts
        return cls(
            layers=c.layers,
            attention=c.hidden_size * (c.heads + 2 * c.kv_heads) * c.head_size + c.heads * c.head_size * c.hidden_size,
            expert=3 * c.feed_forward_size * c.hidden_size,
            experts=e.count if e else 1,
            chosen=e.chosen if e else 1,
            shared=3 * e.shared_size * c.hidden_size if e else 0,
            router=e.logits * c.hidden_size if e else 0,
            kv=2 * c.layers * c.head_size * c.kv_heads,
            score=2 * c.heads * c.head_size,
            precision=precision,
        )

    @property
    def k(self) -> float:
        """Experts of a token, the shared one as a multiple of the others."""
        return self.chosen + self.shared / self.expert


@dataclass(frozen=True)
class Step:
    """A decoding step: a token of each sequence of the batch.

    cycles: of the slowest PE. context: tokens that each attends to, itself included. activated: for each layer, how
    many of the experts any token of the batch chose (a dense layer: 1). read, written, flops: what all PEs counted.
    """

    cycles: int
    batch: int
    context: int
    activated: tuple[int, ...]
    read: int
    written: int
    flops: int


@dataclass(frozen=True)
class Machine:
    """A machine and a rectangle of it. macs: multiply-adds of the model's type a cycle and PE."""

    arch: str
    pes: int  # of the rectangle
    wafer: int
    clock: float  # Hz
    bytes_read: float  # a cycle and PE
    bytes_written: float
    macs: float
    price: float  # dollars
    power: float  # watts

    @property
    def bandwidth(self) -> float:
        """B_peak of the rectangle, bytes read a second."""
        return self.pes * self.bytes_read * self.clock

    @property
    def operations(self) -> float:
        """F_peak of the rectangle; a multiply-add is two."""
        return self.pes * 2 * self.macs * self.clock


def table() -> dict[str, Any]:
    """Prices, powers and peaks with their sources: cap.toml."""
    return tomllib.loads((Path(__file__).parent / "cap.toml").read_text(encoding="utf-8"))


def machine(arch: str, width: int, height: int, half: bool, clock: float | None = None) -> Machine:
    """half: the model's type is f16, else f32. clock: GHz, another one than the table's."""
    row = {name: entry["value"] for name, entry in table()["machine"][arch].items()}
    width_of = load_profile(arch)[f"dsd.width.{'fmach' if half else 'fmacs'}"]
    return Machine(
        arch, width * height, int(row["pes"]), (clock or row["clock_ghz"]) * 1e9, row["bytes_read"],
        row["bytes_written"], float(width_of), row["price"], row["power"],
    )  # fmt: skip


def metrics(sizes: Sizes, steps: Sequence[Step], m: Machine) -> dict[str, Any]:
    """Every metric with its terms; bytes, seconds, dollars. Shares are of the rectangle and of the whole wafer."""
    s, n = sizes, len(steps)
    seconds = sum(step.cycles for step in steps) / m.clock
    tokens = sum(step.batch for step in steps)
    attention = n * s.layers * s.attention * s.precision
    experts = sum(sum(step.activated) * s.expert + s.layers * s.shared for step in steps) * s.precision
    cache = sum(step.batch * step.context for step in steps) * s.kv * s.precision
    moved = attention + experts + cache
    contexts = sum(step.batch * step.context for step in steps) / tokens
    f_attention = s.layers * (2 * s.attention + 2 * s.score * contexts)
    f_router, f_experts = s.layers * 2 * s.router, s.layers * 2 * s.k * s.expert
    token_flops = f_attention + f_router + f_experts
    rate = tokens / seconds
    share = m.wafer / m.pes
    read, written, flops = (sum(getattr(step, name) for step in steps) for name in ("read", "written", "flops"))
    return {
        "steps": n,
        "tokens": tokens,
        "seconds": seconds,
        "tpot": seconds / n,
        "tokens_per_second": rate,
        "s_mbu": {
            "S_attention": attention,
            "S_experts": experts,
            "S_KV": cache,
            "bytes": moved,
            "B_achieved": moved / seconds,
            "B_peak": m.bandwidth,
            "value": moved / seconds / m.bandwidth,
            "whole_wafer": moved / seconds / (m.bandwidth * share),
        },
        "s_mfu": {
            "T_token": rate,
            "context": contexts,
            "k": s.k,
            "F_attention": f_attention,
            "F_router": f_router,
            "F_experts": f_experts,
            "F_token": token_flops,
            "F_peak": m.operations,
            "value": rate * token_flops / m.operations,
            "whole_wafer": rate * token_flops / (m.operations * share),
        },
        "really": {
            "bytes_read": read,
            "bytes_written": written,
            "flops": flops,
            "read_of_peak": read / seconds / m.bandwidth,
            "written_of_peak": written / seconds / (m.pes * m.bytes_written * m.clock),
            "flops_of_peak": flops / seconds / m.operations,
            "achieved_over_read": moved / read if read else 0.0,
            "achieved_over_issued": tokens * token_flops / flops if flops else 0.0,
        },
        "activated": _activated(s, steps),
        "cost": cost(m, rate),
    }


def _activated(s: Sizes, steps: Sequence[Step]) -> dict[str, Any]:
    """How many experts a layer's tokens chose, in the mean of layers and steps, and what uniform routing would give:
    each token takes k of E at random, so one is missed by b tokens with (1 - k / E)^b."""
    layers = [sum(step.activated[i] for step in steps) / len(steps) for i in range(s.layers)]
    uniform = sum(s.experts * (1 - (1 - s.chosen / s.experts) ** step.batch) for step in steps) / len(steps)
    return {"experts": s.experts, "mean": sum(layers) / s.layers, "layers": layers, "uniform": uniform}


def cost(m: Machine, rate: float) -> dict[str, Any]:
    """Dollars for a million tokens at `rate` tokens a second: the price over the lifetime, and the energy. Of the whole
    wafer, and of the rectangle's share of it (others would pay for the rest)."""
    values = {name: entry["value"] for name, entry in table()["cost"].items()}
    lifetime = values["lifetime_years"] * YEAR
    capital = m.price / lifetime / rate * 1e6
    energy = m.power / 1000 * values["electricity"] / 3600 / rate * 1e6
    share = m.pes / m.wafer
    return {
        "price": m.price, "lifetime_years": values["lifetime_years"], "power": m.power, "electricity": values["electricity"],
        "capital": capital, "energy": energy, "whole_wafer": capital + energy, "rectangle": (capital + energy) * share,
        "joules_a_token": m.power / rate,
    }  # fmt: skip


def as_repo(sizes: Sizes, steps: Sequence[Step], m: Machine) -> dict[str, Any]:
    """The numbers that Auto-CAP/MoE-CAP would give (its default formulas): S-MFU counts one expert and no router, and
    halves F_peak; ratios of the steps are averaged; capital is not amortised; the shared expert is left out."""
    s = sizes
    values = {name: entry["value"] for name, entry in table()["repo"].items()}
    smbu, smfu = [], []
    for step in steps:
        seconds, contexts = step.cycles / m.clock, step.batch * step.context
        mean = sum(step.activated) / s.layers
        moved = (s.layers * (mean * s.expert + s.attention) + contexts * s.kv) * s.precision
        smbu.append(moved / seconds / m.bandwidth)
        flops = (s.layers * (s.attention + s.expert) + contexts * s.layers * s.score) * 2
        smfu.append(flops * step.batch / seconds / (m.operations / 2))
    seconds = sum(step.cycles for step in steps) / m.clock
    electricity = table()["cost"]["electricity"]["value"]
    energy = (m.power + values["host_power"]) / 1000 * electricity * seconds / 3600
    capital = m.price + values["host_price"]
    return {
        "s_mbu": sum(smbu) / len(steps),
        "s_mfu": sum(smfu) / len(steps),
        "cost": values["energy_factor"] * energy + values["capital_factor"] * capital,
        "energy": energy,
        "capital": capital,
    }


def sources(arch: str) -> Mapping[str, Mapping[str, Any]]:
    """The rows of the table that a report of this machine used."""
    rows = table()
    return {**rows["machine"][arch], **rows["cost"], **rows["repo"]}
