"""`meshlang cap`: MoE-CAP's metrics of a model on a mesh."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from ._model import dtype_of, f32_sums, mesh_of, token_lists

if TYPE_CHECKING:
    from meshlang.models.cap_run import Measured
    from meshlang.models.llama import Placement

HELP = "cost, accuracy and performance of a model on a mesh (MoE-CAP's S-MBU and S-MFU)"
DESCRIPTION = """\
Decode a few tokens with a model from a Hugging Face folder, for one sequence or a batch, and report MoE-CAP's metrics from what the machine
counted: S-MBU and S-MFU with every term, cost, agreement with float64. Dense models and models with experts.
"""
EXAMPLES = """\
examples:
  meshlang cap FOLDER --mesh 8x8                                        one sequence
  meshlang cap FOLDER --mesh 8x8 --batch 4 --regions 4                  four, experts in regions
  meshlang cap FOLDER --mesh 8x8 --batch 4 --json > four.json
  meshlang cap FOLDER --mesh 8x8 --svg radar.svg --against four.json    a picture of both
  meshlang cap FOLDER --mesh 8x8 --as-repo                              beside the numbers that the benchmark's repository would give
  meshlang cap FOLDER --mesh 8x8 --sources                              where prices, powers and peaks come from

What the numbers are, and a small model with experts to try it on: docs/cap.md
"""
AXES = ("S-MBU", "S-MFU", "token agreement", "route agreement", "cost (cheapest = 1)", "tokens/s (fastest = 1)")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="config.json, *.safetensors")
    parser.add_argument("--mesh", required=True, metavar="WxH", help="columns x rows of PEs")
    parser.add_argument("--dtype", choices=("f16", "f32"), default="f16", help="of weights and vectors (default f16)")
    parser.add_argument("--sums", choices=("f32",), help="as in meshlang llm generate")
    parser.add_argument(
        "--regions",
        type=int,
        default=1,
        metavar="R",
        help="of experts: blocks of columns with experts of their own (default 1)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="sequences at the same time (default 1)")
    parser.add_argument(
        "--prompt-length", type=int, default=8, metavar="N", help="random tokens each begins with (default 8)"
    )
    parser.add_argument(
        "--tokens",
        action="append",
        metavar="N,N,...",
        help="a prompt of these tokens; again: the next sequence's, of any length",
    )
    parser.add_argument("--new", type=int, default=8, metavar="N", help="steps that are measured (default 8)")
    parser.add_argument("--seed", type=int, default=0, help="of random prompts (default 0)")
    parser.add_argument(
        "--layers", choices=("auto", "resident", "streamed"), default="auto", help="as for llm generate"
    )
    parser.add_argument(
        "--clock", type=float, metavar="GHZ", help="of the machine (default: the table's, see --sources)"
    )
    parser.add_argument("--no-accuracy", action="store_true", help="do not compute the model in float64, too")
    parser.add_argument("--as-repo", action="store_true", help="what the benchmark's repository would give, too")
    parser.add_argument("--sources", action="store_true", help="print the table of prices, powers and peaks, too")
    parser.add_argument("--svg", metavar="FILE", help="write a radar picture")
    parser.add_argument(
        "--against", action="append", default=[], metavar="FILE", help="a report (--json) to draw beside it"
    )
    parser.add_argument("--arch", choices=("wse2", "wse3"), default="wse3", help="machine (default wse3)")
    parser.add_argument("--profile", metavar="NAME", help="timing profile (default: the machine's)")


def execute(args: argparse.Namespace) -> int:
    from pathlib import Path

    from meshlang import files
    from meshlang.diag import usage_error
    from meshlang.host.progress import stages
    from meshlang.models.cap_run import measure
    from meshlang.models.checkpoint import Checkpoint
    from meshlang.models.fit import place
    from meshlang.models.runner import Runner

    from ._outputs import output

    width, height = mesh_of(args.mesh)
    for name, least in (("batch", 1), ("prompt_length", 1), ("new", 1), ("seed", 0)):
        if getattr(args, name) < least:
            raise usage_error(f"--{name.replace('_', '-')} {getattr(args, name)}: expected at least {least}")
    if args.clock is not None and not 0 < args.clock < 100:
        raise usage_error(f"--clock {args.clock}: expected GHz, such as 1.1")
    if args.svg:
        output("--svg", args.svg, (".svg",))
    others = [_read(file) for file in args.against]
    with stages("reading the model"):
        checkpoint = Checkpoint(args.folder)
        prompts = _prompts(args, checkpoint.config.vocabulary)
        placement = place(
            checkpoint.config, height, width, tokens=max(map(len, prompts)) + args.new, prompt=max(map(len, prompts)),
            dtype=dtype_of(args.dtype), mode=args.layers, regions=args.regions, batch=args.batch, f32_sums=f32_sums(args),
        )  # fmt: skip
        runner = Runner(placement, checkpoint, args.arch, args.profile)
        measured = measure(runner, checkpoint, prompts, args.new, not args.no_accuracy)
    report = _report(args, placement, measured)
    if args.svg:
        files.write_text(Path(args.svg), _picture([(str(args.folder), report), *others]))
    if args.json:
        print(json.dumps({"ok": True, "exit_code": 0, **report}, indent=2))
    else:
        print("\n".join(_text(report)))
    return 0


def _prompts(args: argparse.Namespace, vocabulary: int) -> list[list[int]]:
    import numpy as np

    from meshlang.diag import usage_error

    if not args.tokens:
        return np.random.default_rng(args.seed).integers(0, vocabulary, (args.batch, args.prompt_length)).tolist()
    prompts = token_lists(args.tokens)
    if len(prompts) != args.batch:
        raise usage_error(f"--tokens gives {len(prompts)} prompts: expected {args.batch} (--batch)")
    return prompts


def _read(file: str) -> tuple[str, dict[str, Any]]:
    from meshlang.diag import usage_error

    try:
        with open(file, encoding="utf-8") as stream:
            report = json.load(stream)
        _values(report)
    except (OSError, ValueError, KeyError, TypeError):
        raise usage_error(f"--against {file}: expected what `meshlang cap --json` has printed") from None
    return file, report


def _report(args: argparse.Namespace, place: Placement, measured: Measured) -> dict[str, Any]:
    from dataclasses import asdict

    from meshlang.models import cap

    sizes = cap.Sizes.of(place.config, place.dtype.itemsize)
    machine = cap.machine(args.arch, place.width, place.height, args.dtype == "f16", args.clock)
    report: dict[str, Any] = {
        "run": {
            "folder": str(args.folder), "mesh": [place.width, place.height], "arch": args.arch, "dtype": args.dtype,
            "batch": place.batch, "regions": place.regions, "layers": "resident" if place.layers == place.config.layers else "streamed",
            "generated": measured.generated,
        },
        "machine": asdict(machine) | {"B_peak": machine.bandwidth, "F_peak": machine.operations},
        "sizes": asdict(sizes),
        **cap.metrics(sizes, measured.steps, machine),
        "steps": [asdict(step) for step in measured.steps],
        "accuracy": asdict(measured.accuracy) if measured.accuracy else None,
    }  # fmt: skip
    if args.as_repo:
        report["as_repo"] = cap.as_repo(sizes, measured.steps, machine)
    if args.sources:
        report["sources"] = cap.sources(args.arch)
    return report


# ------------------------------------------------------------ text


def _n(value: float, unit: str = "") -> str:
    """Three or four digits with a prefix: 1.234 M."""
    for factor, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.4g} {prefix}{unit}"
    return f"{value:.4g} {unit}".rstrip()


def _share(value: float) -> str:
    return f"{100 * value:.4g} %"


def _text(r: dict[str, Any]) -> list[str]:
    run, m, s, b, f, really = r["run"], r["machine"], r["sizes"], r["s_mbu"], r["s_mfu"], r["really"]
    cost, activated, accuracy = r["cost"], r["activated"], r["accuracy"]
    lines = [
        f"{run['folder']}: {run['dtype']}, {run['mesh'][0]} x {run['mesh'][1]} PEs of a {run['arch'].upper()}, layers {run['layers']}, "
        f"batch {run['batch']}" + (f", {run['regions']} regions" if run["regions"] > 1 else ""),
        f"{len(r['steps'])} steps, {r['tokens']} tokens, {sum(step['cycles'] for step in r['steps']):,} cycles at {m['clock'] / 1e9:g} GHz",
        "",
        "Performance",
        f"  TPOT              {_n(1e6 * r['tpot'], 'us')} a step, {_n(r['tokens_per_second'])} tokens/s",
        "",
        "S-MBU = (S_activated + S_KV) / TPOT / B_peak, sum of bytes over sum of latencies",
        f"  S_attn            d_model (heads d + 2 kv_heads d) + heads d d_model = {s['attention']:,} parameters a layer",
        f"  S_expert          3 d_ff d_model = {s['expert']:,} parameters"
        + (f", shared expert {s['shared']:,}" if s["shared"] else ""),
        f"  activated         {activated['mean']:.4g} of {activated['experts']} a layer in the mean; uniform routing: {activated['uniform']:.4g}",
        f"  attention         {_n(b['S_attention'], 'B')} + experts {_n(b['S_experts'], 'B')} + KV {_n(b['S_KV'], 'B')} = {_n(b['bytes'], 'B')}",
        f"  B_achieved        {_n(b['bytes'], 'B')} / {_n(1e6 * r['seconds'], 'us')} = {_n(b['B_achieved'], 'B/s')}",
        f"  B_peak            {m['pes']:,} PEs x {m['bytes_read']:g} B x {m['clock'] / 1e9:g} GHz = {_n(b['B_peak'], 'B/s')}",
        f"  S-MBU             {_share(b['value'])} of the rectangle, {_share(b['whole_wafer'])} of the wafer ({m['wafer']:,} PEs)",
        f"  really read       {_n(really['bytes_read'], 'B')}, {_share(really['read_of_peak'])} of the peak: "
        f"{_share(really['achieved_over_read'])} of them are those above; written {_n(really['bytes_written'], 'B')}",
        "",
        "S-MFU = T_token (F_attn + 2 N_router + 2 k N_expert) / F_peak",
        f"  F_attn            layers (2 S_attn + 4 heads d context), context {f['context']:.4g} = {_n(f['F_attention'], 'FLOP')}",
        f"  2 N_router        {_n(f['F_router'], 'FLOP')}",
        f"  2 k N_expert      k = {f['k']:.4g}: {_n(f['F_experts'], 'FLOP')}",
        f"  F_peak            {m['pes']:,} PEs x 2 x {m['macs']:g} x {m['clock'] / 1e9:g} GHz = {_n(f['F_peak'], 'FLOP/s')}",
        f"  S-MFU             {_n(f['T_token'])} tokens/s x {_n(f['F_token'], 'FLOP')} / F_peak = {_share(f['value'])} of the rectangle, "
        f"{_share(f['whole_wafer'])} of the wafer",
        f"  really issued     {_n(really['flops'], 'FLOP')}, {_share(really['flops_of_peak'])} of the peak: "
        f"{_share(really['achieved_over_issued'])} of them are those above",
        "",
        "Cost of a million tokens (prices and powers are assumptions: --sources)",
        f"  capital           {_n(cost['price'])} dollars / {cost['lifetime_years']:g} years / T_token = {_n(cost['capital'])} dollars",
        f"  energy            {_n(cost['power'], 'W')} x {cost['electricity']:g} dollars/kWh / T_token = {_n(cost['energy'])} dollars, "
        f"{_n(cost['joules_a_token'], 'J')} a token",
        f"  all               {_n(cost['whole_wafer'])} dollars for the wafer, {_n(cost['rectangle'])} for the rectangle's share",
        "",
    ]
    if accuracy is None:
        lines.append("Accuracy: not asked for")
    else:
        lines += [
            "Accuracy, against the same weights in float64",
            f"  greedy tokens     {accuracy['agreed']} of {accuracy['tokens']} agree",
            f"  KL divergence     {accuracy['kl']:.3g} nats in the mean, {accuracy['largest_kl']:.3g} at most; largest error of a logit "
            f"{accuracy['error']:.3g} of the largest",
        ]
        if accuracy["routes"]:
            lines.append(f"  routes            {accuracy['same']} of {accuracy['routes']} sets of experts agree")
    if "as_repo" in r:
        repo = r["as_repo"]
        lines += [
            "",
            "As the benchmark's repository computes (one expert and no router in S-MFU, F_peak halved, ratios averaged, capital not amortised)",
            f"  S-MBU {_share(repo['s_mbu'])}, S-MFU {_share(repo['s_mfu'])}, cost {_n(repo['cost'])} dollars "
            f"(energy {_n(repo['energy'])}, capital {_n(repo['capital'])})",
        ]
    if "sources" in r:
        lines += ["", "Sources"]
        lines += [
            f"  {name:17} {_n(row['value']):10} {row['evidence']}: {row['source']}"
            for name, row in r["sources"].items()
        ]
    return lines


# ------------------------------------------------------------ the picture


def _values(report: dict[str, Any]) -> tuple[float, float, float, float, float, float]:
    accuracy = report["accuracy"] or {}
    tokens = accuracy["agreed"] / accuracy["tokens"] if accuracy else 0.0
    routes = accuracy["same"] / accuracy["routes"] if accuracy and accuracy["routes"] else tokens
    return (
        report["s_mbu"]["value"], report["s_mfu"]["value"], tokens, routes, report["cost"]["rectangle"], report["tokens_per_second"],
    )  # fmt: skip


def _picture(reports: list[tuple[str, dict[str, Any]]]) -> str:
    from meshlang.models.radar import radar

    rows = [(name, _values(report)) for name, report in reports]
    cheapest, fastest = min(v[4] for _, v in rows), max(v[5] for _, v in rows)
    return radar(
        AXES, [(name, [*v[:4], cheapest / v[4], v[5] / fastest]) for name, v in rows], "cost, accuracy, performance"
    )
