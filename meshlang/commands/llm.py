"""`meshlang llm`: models in Hugging Face folders, on a mesh."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _llm_folder
from ._help import subcommand
from ._model import dtype_of, f32_sums, mesh_of, token_lists

if TYPE_CHECKING:
    from meshlang.models.checkpoint import Checkpoint
    from meshlang.models.generate import Generator, Turn
    from meshlang.models.llama_config import LlamaConfig
    from meshlang.models.runner import Runner
    from meshlang.models.text import Tokenizer
    from meshlang.serve.image import Image
    from meshlang.serve.tiers import Loader

HELP = "generate text with a language model on a mesh, or see what fits where"
DESCRIPTION = """\
Run a language model from a Hugging Face folder (config.json, *.safetensors, tokenizer.json) on a mesh of PEs: the prompt is prefilled by
MeshGEMM, then tokens are decoded one by one. Everything but the embedding table and the choice of a token is computed on the mesh.
"""
EXAMPLES = """\
examples:
  meshlang llm info FOLDER --mesh 96x96                                 what fits where
  meshlang llm generate FOLDER --prompt "The capital of France is" --new 20 --mesh 16x16
  meshlang llm generate FOLDER --tokens 5,9,11 --new 12 --mesh 4x4 --dtype f32 --json
  meshlang llm generate FOLDER --tokens 5,9 --new 12 --mesh 4x4 --sums f32                data of f16, sums of f32
  meshlang llm generate FOLDER --prompt "Once" --new 50 --mesh 16x16 --temperature 0.8 --top-p 0.9 --seed 1
  meshlang llm generate FOLDER --prompt "Hello." --prompt "And now?" --new 20 --mesh 16x16     two turns
  meshlang llm generate FOLDER --prompt "One" --prompt "Another one" --batch --mesh 16x16        two sequences at the same time
  meshlang llm place FOLDER --mesh 16x16 --context 256 -o model.wimg    a wafer image, which loads at the speed of the disk
  meshlang llm generate model.wimg --prompt "The capital of France is" --new 20
  meshlang llm generate http://HOST/model.wimg --tokens 5,9 --new 20 --keep FOLDER          from a server, kept in a folder
  meshlang llm load one.wimg other.wimg http://HOST/third.wimg                              how long loading takes, and should
  meshlang llm fetch-demo -o smollm                                     a small real model (docs/smollm.md), as a folder
  meshlang llm convert model.gguf -o FOLDER                             a GGUF file of a Llama, as a folder

Families: docs/stdlib-llm.md. Text needs the extra: pip install 'meshlang[llm]'
"""


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(metavar="COMMAND", dest="llm_command", required=True)
    generate = subcommand(
        commands,
        "generate",
        "go on with a prompt",
        "Go on with a prompt. Text goes to stdout as it comes, cycles to stderr.",
        EXAMPLES,
    )
    _common(generate)
    start = generate.add_mutually_exclusive_group(required=True)
    start.add_argument(
        "--prompt", action="append", metavar="TEXT", help="the text to go on with; again: the next turn, or sequence"
    )
    start.add_argument("--tokens", action="append", metavar="N,N,...", help="token numbers instead of a text")
    generate.add_argument(
        "--new", type=int, default=20, metavar="N", help="tokens to add at most, each turn (default 20)"
    )
    generate.add_argument(
        "--batch", action="store_true", help="the prompts are sequences of their own, decoded at the same time"
    )
    _layers(generate)
    generate.add_argument(
        "--temperature", type=float, default=0.0, metavar="T", help="0: the most likely token (default)"
    )
    generate.add_argument("--top-k", type=int, default=0, metavar="K", help="choose among the K most likely tokens")
    generate.add_argument("--top-p", type=float, default=1.0, metavar="P", help="choose among those that make up P")
    generate.add_argument("--seed", type=int, default=0, help="of the choice (default 0)")
    generate.add_argument("--stop", action="append", default=[], metavar="TEXT", help="end a turn at this text")
    generate.add_argument("--ignore-eos", action="store_true", help="go on behind a token that ends texts")
    _arch(generate)
    generate.add_argument("--profile", metavar="NAME", help="timing profile (default: the machine's)")
    info = subcommand(
        commands,
        "info",
        "what fits where",
        "What a PE's memory would hold of a model.",
        EXAMPLES,
    )
    _common(info)
    _context(info)
    place = subcommand(
        commands,
        "place",
        "make a wafer image",
        "Place a model on a mesh, compile its program, and write both as a wafer image, which `generate` loads without placing "
        "or compiling anything.",
        EXAMPLES,
    )
    _common(place)
    _context(place)
    place.add_argument(
        "--prefill", type=int, metavar="N", help="the longest prompt that is prefilled (default: as long as fits)"
    )
    _layers(place)
    _arch(place)
    load = subcommand(
        commands,
        "load",
        "load wafer images, and say how long it took",
        "Load wafer images, all at the same time, each on a fabric of its own: what each tier did, how long it should have "
        "taken by the bandwidths measured at the beginning, and how long it took.",
        EXAMPLES,
    )
    load.add_argument("images", nargs="+", metavar="IMAGE", help="a wafer image: a file, or an address on a server")
    load.add_argument("--json", action="store_true", help="one JSON object on stdout")
    load.add_argument("--again", action="store_true", help="load all of them a second time, from host memory")
    _tiers(load)
    _tiers(generate)
    move = subcommand(
        commands,
        "move",
        "what moving a request between two meshes costs",
        "Decode on the mesh of one wafer image and go on on the mesh of another: once by computing all tokens anew, once by moving "
        "keys and values. Cycles of both, and the bandwidth between the wafers at which they take the same time.",
        EXAMPLES,
    )
    move.add_argument("source", metavar="FROM", help="a wafer image")
    move.add_argument("target", metavar="TO", help="a wafer image of the same model for another mesh")
    move.add_argument("--tokens", required=True, metavar="N,N,...", help="token numbers of the prompt")
    move.add_argument("--at", default="32", metavar="N,N,...", help="move after so many tokens in all (default 32)")
    move.add_argument("--clock", type=float, metavar="MHZ", help="of the wafer (default: the timing profile's)")
    move.add_argument("--json", action="store_true", help="one JSON object on stdout")
    place.add_argument("-o", "--output", required=True, metavar="FILE", help="the image, model.wimg")
    _llm_folder.configure(commands, EXAMPLES)


def _tiers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pool", type=int, default=256, metavar="MB", help="host memory for chunks of images (default 256)"
    )
    parser.add_argument("--keep", metavar="FOLDER", help="keep on disk what comes from servers")


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", metavar="MODEL", help="a folder with config.json, *.safetensors, tokenizer.json; or a wafer image"
    )
    parser.add_argument("--mesh", metavar="WxH", help="columns x rows of PEs (an image has its own)")
    parser.add_argument("--dtype", choices=("f16", "f32"), help="of weights and vectors (default f16)")
    parser.add_argument(
        "--sums",
        choices=("f32",),
        help="with f16: of products, softmax and SiLU, and logits (default: the type of the data)",
    )
    parser.add_argument(
        "--regions",
        type=int,
        metavar="R",
        help="of experts: blocks of columns with experts of their own (default 1)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _context(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--context", type=int, metavar="N", help="tokens of the cache (default: 16 a row)")


def _layers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--layers",
        choices=("auto", "resident", "streamed", "pipeline"),
        default="auto",
        help="all layers on the PEs, one at a time, or each on a fabric of its own (default: resident if they fit, else streamed)",
    )


def _arch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--arch", choices=("wse2", "wse3"), help="machine (default wse3)")


def execute(args: argparse.Namespace) -> int:
    run = {
        "info": _info,
        "generate": _generate,
        "place": _place,
        "load": _load,
        "move": _move,
        "convert": _llm_folder.convert,
        "fetch-demo": _llm_folder.fetch_demo,
    }
    return run[args.llm_command](args)


def _image(args: argparse.Namespace) -> Image | None:
    """The image that a model's path or address names; None for a folder."""
    from meshlang.serve.sources import is_url

    if not is_url(args.folder) and not Path(args.folder).is_file():
        return None
    image: Image
    if is_url(args.folder):
        image = _loader(args).open(args.folder)
    else:
        from meshlang.serve.image import FileImage

        image = FileImage(args.folder)
    layers = getattr(args, "layers", "auto")
    image.expect(
        mesh=mesh_of(args.mesh) if args.mesh else None,
        dtype=dtype_of(args.dtype).__name__ if args.dtype else None,
        arch=getattr(args, "arch", None),
        layers={"auto": None, "pipeline": "streamed"}.get(layers, layers),
        regions=args.regions,
        sums=args.sums,
    )
    return image


def _loader(args: argparse.Namespace, once: bool = False) -> Loader:
    """once: nobody loads a chunk again."""
    from meshlang.serve.tiers import Loader

    return Loader(getattr(args, "pool", 256) << 20, getattr(args, "keep", None), once=once)


# ------------------------------------------------------------ generate


def _generate(args: argparse.Namespace) -> int:
    from meshlang.diag import usage_error
    from meshlang.host import progress
    from meshlang.models.generate import Generator, together
    from meshlang.models.sampling import Sampling

    if args.new < 1:
        raise usage_error(f"--new {args.new}: expected at least 1")
    sampling = Sampling(args.temperature, args.top_k, args.top_p, args.seed)
    image = _image(args)
    if image is not None and args.batch:
        raise usage_error("--batch: a wafer image is placed for one sequence at a time; expected a folder")
    tokenizer = _tokenizer(args, image)
    began = time.monotonic()
    with progress.stages("reading the model"):
        runner, prompts, ends = _from_folder(args, tokenizer) if image is None else _from_image(args, image, tokenizer)
        if args.ignore_eos:
            ends = frozenset()
        if args.batch:
            turns = together(runner, prompts, args.new, sampling, tokenizer, ends, args.stop)
            if not args.json:
                for number, turn in enumerate(turns):
                    _say(f"{number + 1}: {_shown(turn, tokenizer)}")
        else:
            generator = Generator(runner, sampling, tokenizer, ends, args.stop)
            turns = [_turn(args, generator, prompt) for prompt in prompts]
    if args.json:
        print(json.dumps(_result(runner, turns), indent=2))
    else:
        _summary(runner, turns, time.monotonic() - began)
    return 0


def _turn(args: argparse.Namespace, generator: Generator, prompt: list[int]) -> Turn:
    from meshlang.host import progress
    from meshlang.models.generate import Turn

    turn = Turn([])
    progress.resume()
    for text in generator.turn(prompt, args.new, turn):
        if not args.json and text:
            _say(text, end="")
    if not args.json:
        _say("" if generator.tokenizer else _shown(turn, None))
    return turn


def _shown(turn: Turn, tokenizer: Tokenizer | None) -> str:
    return turn.text if tokenizer else " ".join(map(str, turn.tokens))


def _say(text: str, end: str = "\n") -> None:
    """Print what a model says; on a terminal the line that shows progress makes room."""
    from meshlang.host import progress

    if sys.stdout.isatty():
        progress.pause()
    print(text, end=end, flush=True)


def _from_folder(
    args: argparse.Namespace, tokenizer: Tokenizer | None
) -> tuple[Runner, list[list[int]], frozenset[int]]:
    from meshlang.models.checkpoint import Checkpoint
    from meshlang.models.fit import place
    from meshlang.models.runner import Runner

    checkpoint = Checkpoint(args.folder)
    width, height = mesh_of(args.mesh)
    prompts = _prompts(args, tokenizer)
    placement = place(
        checkpoint.config,
        height,
        width,
        tokens=_total(args, prompts),
        prompt=len(prompts[0]),
        dtype=dtype_of(args.dtype),
        mode=args.layers,
        regions=_regions(args),
        f32_sums=f32_sums(args),
        batch=len(prompts) if args.batch else 1,
    )
    runner = Runner(placement, checkpoint, args.arch or "wse3", args.profile, pipeline=args.layers == "pipeline")
    return runner, prompts, checkpoint.end_tokens()


def _from_image(
    args: argparse.Namespace, image: Image, tokenizer: Tokenizer | None
) -> tuple[Runner, list[list[int]], frozenset[int]]:
    prompts = _prompts(args, tokenizer)
    image.placement.check_tokens(_total(args, prompts))
    return image.runner(args.profile, args.layers == "pipeline"), prompts, frozenset(image.header.ends)


def _regions(args: argparse.Namespace) -> int:
    return 1 if args.regions is None else int(args.regions)


def _total(args: argparse.Namespace, prompts: list[list[int]]) -> int:
    """Tokens in the cache at the end: the last one is not looked at."""
    if args.batch:
        return max(map(len, prompts)) + int(args.new) - 1
    return sum(map(len, prompts)) + len(prompts) * args.new - 1


def _tokenizer(args: argparse.Namespace, image: Image | None) -> Tokenizer | None:
    """For token numbers it is a comfort only, and may be missing."""
    from meshlang.diag import MeshlangError
    from meshlang.models.families import model_error
    from meshlang.models.text import Tokenizer

    try:
        if image is None:
            return Tokenizer.of(args.folder)
        if (tokenizer := image.tokenizer) is None:
            raise model_error("MS1415", f"{image.name} has no tokenizer", "give token numbers instead: --tokens 5,9,11")
        return tokenizer
    except MeshlangError:
        if args.prompt or args.stop:
            raise
        return None


def _prompts(args: argparse.Namespace, tokenizer: Tokenizer | None) -> list[list[int]]:
    from meshlang.models.families import model_error

    if args.tokens:
        prompts = token_lists(args.tokens)
    else:
        assert tokenizer is not None
        prompts = [tokenizer.encode(text, i == 0 or args.batch) for i, text in enumerate(args.prompt)]
    if not all(prompts):
        raise model_error("MS1422", "a prompt has no tokens", "give at least a word, or --tokens")
    return prompts


def _mode(runner: Any) -> str:
    return "pipeline" if runner.pipeline else "streamed" if runner.streamed else "resident"


def _result(runner: Any, turns: list[Turn]) -> dict[str, Any]:
    place = runner.place
    return {
        "ok": True,
        "exit_code": 0,
        "tokens": [t for turn in turns for t in turn.tokens],
        "text": "".join(turn.text for turn in turns),
        "cycles": [c for turn in turns for c in turn.cycles],
        "prefill_tokens": runner.prefilled,
        "prefill_cycles": runner.prefill_cycles,
        "settle_cycles": runner.settle_cycles,
        "turns": [
            {"prompt": t.prompt, "tokens": t.tokens, "text": t.text, "cycles": t.cycles, "stopped": t.stopped}
            for t in turns
        ],
        "mesh": [place.width, place.height],
        "batch": place.batch,
        "dtype": _name(place),
        "sums": "f32" if place.f32_sums else _name(place),
        "layers": _mode(runner),
        "output_pieces": place.pieces,
        "memory": place.memory(),
    } | _routes(runner, turns)


def _routes(runner: Any, turns: list[Turn]) -> dict[str, Any]:
    """Of a model with experts: [tokens][layers][chosen], of a batch one such list for each sequence, up to its last token but one."""
    place = runner.place
    if not place.config.experts:
        return {}
    if place.batch == 1:
        return {"routes": [routes[:, 0].tolist() for routes in runner.routes]}
    return {
        "routes": [
            [routes[:, i].tolist() for routes in runner.routes[: len(turn.prompt) + len(turn.tokens) - 1]]
            for i, turn in enumerate(turns)
        ]
    }


def _name(place: Any) -> str:
    return {"float16": "f16", "float32": "f32"}[place.dtype.name]


def _summary(runner: Any, turns: list[Turn], seconds: float) -> None:
    place, cycles = runner.place, [c for turn in turns for c in turn.cycles]
    stopped = ", ".join(turn.stopped for turn in turns) if place.batch > 1 else turns[-1].stopped
    lines = [
        f"{place.width} x {place.height} PEs, {_name(place)}, layers {_mode(runner)}, output projection in {place.pieces} "
        f"piece{'s' if place.pieces > 1 else ''}{f', batch {place.batch}' if place.batch > 1 else ''}; {seconds:.0f} s"
    ]
    if runner.prefilled:
        hand_over = f", hand-over {runner.settle_cycles:,}" if runner.settle_cycles else ""
        lines.append(f"prefill of {runner.prefilled} tokens {runner.prefill_cycles:,} cycles{hand_over}")
    lines.append(
        f"decoding {min(cycles):,} to {max(cycles):,} cycles a {'step' if place.batch > 1 else 'token'}; stopped: {stopped}"
    )
    print("\n".join(lines), file=sys.stderr)


# ------------------------------------------------------------ info


def _info(args: argparse.Namespace) -> int:
    from meshlang.models.checkpoint import Checkpoint
    from meshlang.models.fit import report

    image = _image(args)
    if image is not None:
        return _image_info(args, image)
    checkpoint = Checkpoint(args.folder)
    width, height = mesh_of(args.mesh)
    dtype = args.dtype or "f16"
    found = report(
        checkpoint.config,
        height,
        width,
        tokens=_tokens(args, height),
        dtype=dtype_of(dtype),
        regions=_regions(args),
        f32_sums=f32_sums(args),
    )
    if args.json:
        from dataclasses import asdict

        config = asdict(checkpoint.config)
        print(json.dumps({"ok": True, "exit_code": 0, "config": config, "dtype": dtype, **found}, indent=2))
    else:
        print("\n".join(_describe(checkpoint, dtype, found)))
    return 0


def _tokens(args: argparse.Namespace, height: int) -> int:
    from meshlang.diag import usage_error

    if args.context is not None and args.context < 1:
        raise usage_error(f"--context {args.context}: expected at least 1")
    return args.context or 16 * height


def _image_info(args: argparse.Namespace, image: Image) -> int:
    from meshlang.serve.image import describe

    found = describe(image)
    if args.json:
        print(json.dumps({"ok": True, "exit_code": 0, **found}, indent=2))
        return 0
    place, config = image.placement, image.config
    memory = ", ".join(f"{what} {n:,}" for what, n in found["memory"].items())
    print(
        f"{config.layers} layers of {config.hidden_size} elements, placed on {place.width} x {place.height} PEs of {found['arch']} in "
        f"{_name(place)} by MeshLang {found['made_by']}\n"
        f"layers {'resident' if place.layers == config.layers else 'streamed'}, prefill of {place.prompt:,} tokens, output projection in "
        f"{place.pieces} piece{'s' if place.pieces > 1 else ''}, at most {found['tokens']:,} tokens\n"
        f"of a PE: {memory}\n"
        f"{found['bytes']:,} bytes in {len(found['segments'])} segments and {found['chunks']:,} chunks\n"
        f"identity  {found['identity']}\nconfig    {found['config_sha256']}\nweights   {found['weights_sha256']}"
    )
    return 0


# ------------------------------------------------------------ place


def _place(args: argparse.Namespace) -> int:
    from meshlang.diag import usage_error
    from meshlang.host.progress import stages
    from meshlang.models.checkpoint import Checkpoint
    from meshlang.models.fit import place
    from meshlang.serve.image_write import write_image

    from ._outputs import output

    output("-o", args.output)
    began = time.monotonic()
    with stages("placing the model"):
        checkpoint = Checkpoint(args.folder)
        width, height = mesh_of(args.mesh)
        tokens = _tokens(args, height)
        if args.prefill is not None and args.prefill < 0:
            raise usage_error(f"--prefill {args.prefill}: expected at least 0")
        prompt = tokens if args.prefill is None else min(args.prefill + 1, tokens)
        placement = place(
            checkpoint.config,
            height,
            width,
            tokens=tokens,
            prompt=prompt,
            dtype=dtype_of(args.dtype),
            mode=args.layers,
            regions=_regions(args),
            f32_sums=f32_sums(args),
        )
        header = write_image(args.output, checkpoint, placement, args.arch or "wse3")
    if args.json:
        print(
            json.dumps(
                {"ok": True, "exit_code": 0, "image": args.output, "bytes": header.end, "placement": header.placement},
                indent=2,
            )
        )
    else:
        print(f"{args.output}: {header.end:,} bytes; {time.monotonic() - began:.0f} s", file=sys.stderr)
    return 0


def _feed(c: LlamaConfig) -> str:
    if c.experts is None:
        return f"feed-forward {c.feed_forward_size}"
    shared = f" and a shared one of {c.experts.shared_size}" if c.experts.shared_size else ""
    return f"{c.experts.chosen} of {c.experts.count} experts of {c.feed_forward_size}{shared}"


# ------------------------------------------------------------ load


def _load(args: argparse.Namespace) -> int:
    from concurrent.futures import ThreadPoolExecutor

    from meshlang.host.progress import stages
    from meshlang.serve.image import ImageStore

    once = len(args.images) == 1 and not args.again
    with stages("loading"), _loader(args, once) as loader:
        images = [loader.open(where) for where in args.images]
        fabrics = [image.program.start() for image in images]
        rounds = []
        for _ in range(2 if args.again else 1):
            with ThreadPoolExecutor(len(images)) as pool:
                list(pool.map(lambda i, f: ImageStore(i).write_model(f), images, fabrics))
            rounds.append([image.last.report() for image in images if image.last is not None])
        bandwidths = {name: loader.bandwidth(name) for name in loader.stations}
        locked = loader.pool.locked
    if args.json:
        found = {"loads": rounds, "bandwidths": bandwidths, "pool_locked": locked}
        print(json.dumps({"ok": True, "exit_code": 0, **found}, indent=2))
        return 0
    shown = ", ".join(f"{name} {b / 1e6:,.0f} MB/s" for name, b in bandwidths.items() if b)
    print(f"bandwidths: {shown}; the pool is {'' if locked else 'not '}locked in memory")
    for report in (report for reports in rounds for report in reports):
        tiers = ", ".join(f"{n / 1e6:,.1f} MB from {tier}" for tier, n in report["tiers"].items())
        line = f"{report['image']}: {report['seconds']:.3f} s, {tiers}"
        if "predicted" in report:
            line += f"; predicted {report['predicted']['all']:.3f} s, measured {report['measured']:.3f} s, error {report['error']:+.0%}"
        print(line)
    return 0


# ------------------------------------------------------------ move


def _move(args: argparse.Namespace) -> int:
    from meshlang.diag import usage_error
    from meshlang.fabric.timing import load_profile
    from meshlang.host.progress import stages
    from meshlang.serve.crossover import crossover
    from meshlang.serve.image import FileImage

    if args.clock is not None and not 1 <= args.clock <= 1e5:
        raise usage_error(f"--clock {args.clock}: expected MHz, such as 850")
    prompt = token_lists([args.tokens])[0]
    if not all(n.isascii() and n.isdigit() for n in args.at.split(",")):
        raise usage_error(f"--at {args.at}: expected numbers, such as 32,64")
    counts = [int(n) for n in args.at.split(",")]
    with stages("reading the images"):
        source = FileImage(args.source)
        costs = crossover(source, FileImage(args.target), prompt, counts)
    clock = 1e6 * float(args.clock or load_profile(source.header.arch)["machine.clock_mhz"])
    if args.json:
        from dataclasses import asdict

        found = [{**asdict(cost), "bandwidth": cost.bandwidth(clock)} for cost in costs]
        print(json.dumps({"ok": True, "exit_code": 0, "clock": clock, "costs": found}, indent=2))
        return 0
    print("tokens  generated  computed anew        restored     bytes  the same at  goes on as before")
    for c in costs:
        share = f"({c.computed / c.generated:.0%})"
        print(
            f"{c.tokens:6}  {c.generated:9,}  {c.computed:11,} {share:>6}  {c.restored:9,}  {c.bytes:8,}  {c.bandwidth(clock) / 1e9:6.3f} GB/s"
            f"  {' and '.join('yes' if s else 'no' for s in c.same)}"
        )
    return 0


def _describe(checkpoint: Checkpoint, dtype: str, found: dict[str, Any]) -> list[str]:
    c = checkpoint.config
    width, height = found["mesh"]
    lines = [
        f"{c.layers} layers of {c.hidden_size} elements, {c.heads} heads, {c.kv_heads} key-value heads of {c.head_size}, "
        f"{_feed(c)}, vocabulary {c.vocabulary}{', tied' if c.tied_embeddings else ''}",
        "weights: " + ", ".join(f"{n / 1e6:,.1f} MB of {kind}" for kind, n in checkpoint.types().items()),
        f"on {width} x {height} PEs in {dtype}, with {found['tokens']:,} tokens:",
        f"  layers resident at most   {found['layers_resident']} of {c.layers}",
    ]
    for mode, name in (("resident", "all layers resident"), ("streamed", "one layer at a time")):
        part = found[mode]
        if not part["fits"]:
            lines.append(f"  {name:25} no: {part['why']}")
            continue
        memory = ", ".join(f"{what} {n:,}" for what, n in part["memory"].items())
        pieces = part["output_pieces"]
        lines += [
            f"  {name:25} yes: {memory}, free {part['free']:,} bytes of a PE",
            f"  {'':25} prefill of {part['prefill']:,} tokens, output projection in {pieces} piece{'s' if pieces > 1 else ''}, "
            f"at most {part['most_tokens']:,} tokens",
        ]
    return lines
