"""The measured tables of docs/serving.md, made anew.

    python -m tests.serve.tables start         # a model on a fabric, from safetensors and from an image, each in a process of its own
    python -m tests.serve.tables payload       # how much of the medium's bandwidth a payload gets
    python -m tests.serve.tables tiers         # meshlang llm load, from each tier
    python -m tests.serve.tables move          # meshlang llm move
    python -m tests.serve.tables costs         # meshlang/serve/costs.toml, which `meshlang simulate` reads: an hour
    python -m tests.serve.tables simulate      # meshlang simulate, means of five seeds

Models have random weights. They and their images are made at the first time, in --folder, and used again then;
so are the measurements of `costs`, which may be interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))

from checkpoints import write_model

from meshlang.diag import MeshlangError
from meshlang.models.fit import place
from meshlang.models.llama_config import LlamaConfig
from meshlang.serve import costs as costs_module
from meshlang.serve.image import FileImage, ImageStore
from meshlang.serve.tiers import Loader

PIECE = 4 << 20  # bytes of a sequential read
PAGE = 4096
MEMORY = 1 << 30  # more than a start uses
MODELS: dict[str, dict[str, Any]] = {
    "135m": {
        "hidden_size": 576,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "vocab_size": 49152,
        "tie_word_embeddings": True,
        "eos_token_id": None,
    },
    "moved": {
        "hidden_size": 128,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "intermediate_size": 256,
        "num_hidden_layers": 4,
        "eos_token_id": None,
    },
}

MODELS["other"] = MODELS["135m"]  # other weights of the same shape


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=list(TABLES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/meshlang-tables"), help="for models and images")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="of start and payload (default 5)")
    args = parser.parse_args()
    TABLES[args.table](args)


def meshlang(*arguments: Any) -> str:
    """stdout of a command."""
    command = [sys.executable, "-m", "meshlang", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def model(folder: Path, name: str) -> Path:
    path = folder / name
    folder.mkdir(parents=True, exist_ok=True)
    if not (path / "model.safetensors").exists():
        write_model(path, "BF16", seed=[*MODELS].index(name), **MODELS[name])
    return path


def image(folder: Path, name: str, mesh: str, *more: Any) -> Path:
    path = folder / f"{name}-{'-'.join([mesh, *map(str, more)]).replace('--', '')}.wimg"
    if not path.exists() or not usable(path):
        meshlang("llm", "place", model(folder, name), "--mesh", mesh, *more, "-o", path)
    return path


def usable(path: Path) -> bool:
    """Not if an older version wrote it."""
    try:
        FileImage(path).verify_program()
    except MeshlangError:
        return False
    return True


def large(folder: Path) -> Path:
    return image(folder, "135m", "96x96", "--context", 1536)


def drop(path: Path) -> None:
    """The file's pages are not in memory any more, if nobody has them mapped."""
    with path.open("rb") as file:
        os.fdatasync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def from_disk() -> int:
    """Bytes that this process has read from the disk."""
    return int(Path("/proc/self/io").read_text().split("\nread_bytes: ")[1].split()[0])


# ------------------------------------------------------------ start

STEPS = ("Python and imports", "program", "fabric started", "weights", "all")
STATES = ("safetensors", "cold", "cold, memory at hand", "warm", "warm, memory at hand")


def start(args: argparse.Namespace) -> None:
    path, folder = large(args.folder), model(args.folder, "135m")
    # as where MeshLang is installed: sources are compiled to bytecode already
    keep = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(args.folder.resolve() / "bytecode")}

    def once(what: Path) -> list[tuple[float, float]]:
        command = [sys.executable, "-m", "tests.serve.start_once", str(what)]
        env = {**os.environ, **keep, "BEGAN": str(time.time())}
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=env).stdout)

    once(path)  # bytecode, and the compiled engine
    rows: dict[str, list[list[tuple[float, float]]]] = {state: [] for state in STATES}
    for state in [STATES[0], *STATES[1:] * args.rounds]:
        if state.startswith("cold"):
            drop(path)
        if state.endswith("at hand"):
            touch(MEMORY)
        rows[state].append(once(folder if state == "safetensors" else path))
    print("processor seconds, least to most; all, elapsed: least, median, most")
    print(f"| what | safetensors + placement | {' | '.join(STATES[1:])} |\n|{'---|' * (len(STATES) + 1)}")
    for i, name in enumerate(STEPS):
        cells = []
        for state in STATES:
            values = [run[i][1] for run in rows[state]]
            cells.append(f"{min(values):.2f}" + (f" to {max(values):.2f}" if len(values) > 1 else ""))
        print(f"| {name} | {' | '.join(cells)} |")
    elapsed = [[run[-1][0] for run in rows[state]] for state in STATES]
    print(f"| all, elapsed | {' | '.join(f'{min(v):.2f}, {median(v):.2f}, {max(v):.2f}' for v in elapsed)} |")


def touch(size: int) -> None:
    """Use so much memory and give it back: the system has it at hand then, also where a hypervisor hands it out first."""
    np.zeros(size, np.uint8)[::PAGE] = 1


# ------------------------------------------------------------ payload


def payload(args: argparse.Namespace) -> None:
    path = large(args.folder)
    opened = FileImage(path)
    chunks = opened.payload()
    begin, size = chunks[0].offset, chunks[-1].offset + chunks[-1].size - chunks[0].offset
    fabric = opened.program.start()
    del opened
    buffer = np.ones(size, np.uint8)
    other = image(args.folder, "other", "96x96", "--context", 1536)
    worker = Loader()  # as that of `meshlang serve`, whose pool is in use

    def sequential(buffer: np.ndarray = buffer) -> None:
        """Into memory of the payload's size, where it has to be in the end, too. It has been touched, as the fabric's has."""
        with path.open("rb", buffering=0) as file:
            file.seek(begin)
            done = 0
            while done < size:
                done += file.readinto(memoryview(buffer)[done : done + PIECE])

    def direct() -> None:
        ImageStore(FileImage(path)).write_model(fabric)

    def through(loader: Loader, what: Path) -> None:
        image = loader.open(what)
        ImageStore(image).write_model(fabric)
        image.close()

    def first() -> None:
        with Loader(once=True) as loader:  # as that of `meshlang llm load`
            through(loader, path)

    ways: dict[str, Callable[[], None]] = {
        "sequential": sequential,
        "the same, memory not yet touched": lambda: sequential(np.empty(size, np.uint8)),
        "image": direct,
        "tiers": lambda: through(worker, path),
        "new tiers": first,
    }
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for way in ways.values():  # memory is touched and code loaded
        way()
    for r in range(args.rounds):
        for state in ("cold", "warm"):
            # each is first in turn: what one has read, others may find in a cache that is not ours
            for name, way in [*ways.items()][r % len(ways) :] + [*ways.items()][: r % len(ways)]:
                if name == "tiers":
                    through(worker, other)  # nothing of the image is in the pool
                if state == "cold":
                    drop(path)
                before, began, busy = from_disk(), time.perf_counter(), time.process_time()
                way()
                seconds = time.perf_counter() - began, time.process_time() - busy
                read = from_disk() - before
                assert (read > 0.9 * size) == (state == "cold"), f"{name}, {state}: {read:,} bytes came from the disk"
                found.setdefault((state, name), []).append(seconds)
    print(f"{size / 1e6:.0f} MB of payload in {len(chunks)} chunks; medians of {args.rounds} rounds")
    print("| | way | bandwidth | of the medium | processor s |\n|---|---|---|---|---|")
    for state in ("cold", "warm"):
        for name in ways:
            rows = found[state, name]
            times = [seconds for seconds, _ in rows]
            speed = f"{size / median(times) / 1e6:,.0f} ({size / min(times) / 1e6:,.0f}) MB/s"
            share = ""
            if name != "sequential":  # of the same round: the medium and those who share it change
                shares = [s / w for (s, _), (w, _) in zip(found[state, "sequential"], rows)]
                share = f"{median(shares):.0%} ({100 * min(shares):.0f} to {100 * max(shares):.0f})".replace("%", " %")
            first_cell = state if name == "sequential" else ""
            print(f"| {first_cell} | {name} | {speed} | {share} | {median(c for _, c in rows):.2f} |")


# ------------------------------------------------------------ tiers


def tiers(args: argparse.Namespace) -> None:
    path = large(args.folder)
    kept = args.folder / "kept"
    for file in kept.glob("*"):
        file.unlink()
    print("| from | bandwidths measured | predicted | measured | error |\n|---|---|---|---|---|")

    def row(name: str, *arguments: Any, number: int = 0) -> None:
        found = json.loads(meshlang("llm", "load", "--json", *arguments))
        bandwidths = ", ".join(f"{tier} {b / 1e6:,.0f}" for tier, b in found["bandwidths"].items() if b)
        loads = found["loads"][number]
        predicted = " and ".join(f"{r['predicted']['all']:.3f}" for r in loads)
        measured = " and ".join(f"{r['measured']:.3f}" for r in loads)
        errors = " and ".join(f"{100 * r['error']:+.0f}" for r in loads)
        print(f"| {name} | {bandwidths} MB/s | {predicted} s | {measured} s | {errors} % |", flush=True)

    for again in ("", ", again"):
        drop(path)
        row(f"disk, cold{again}", path)
    row("host memory (`--pool 400 --again`)", path, "--pool", 400, "--again", number=1)
    with served(args.folder) as address:
        row("a server, kept on disk meanwhile", f"{address}/{path.name}", "--keep", kept)
        row("what was kept, and the file, at the same time", f"{address}/{path.name}", path, "--keep", kept)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The folder's files, by uvicorn with starlette's StaticFiles, at the address."""
    code = (
        "import socket, uvicorn; from starlette.applications import Starlette; from starlette.staticfiles import StaticFiles\n"
        "app = Starlette(); app.mount('/', StaticFiles(directory='.'))\n"
        "door = socket.create_server(('127.0.0.1', 0)); print(door.getsockname()[1], flush=True)\n"
        "uvicorn.Server(uvicorn.Config(app, log_level='error')).run([door])"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        assert port, "the server did not start"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


# ------------------------------------------------------------ move


def move(args: argparse.Namespace) -> None:
    print(
        "| to | tokens | generated on 8 x 8 | computed anew | hand-over of keys | bytes | same at | goes on as before |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for dtype, layers, mesh in (("f16", "resident", "10x10"), ("f16", "resident", "10x6"), ("f32", "streamed", "10x6")):
        placed = ("--dtype", dtype, "--layers", layers, "--context", 160, "--prefill", 135)
        source, target = (image(args.folder, "moved", m, *placed) for m in ("8x8", mesh))
        tokens = "5,9,11,30,17,2,60,12"
        found = json.loads(meshlang("llm", "move", source, target, "--tokens", tokens, "--at", "32,64,128", "--json"))
        for c in found["costs"]:
            same = ", ".join("yes" if s else "no" for s in c["same"])
            name = f"{mesh.replace('x', ' x ')}, {dtype}, {layers}" if c is found["costs"][0] else ""
            print(
                f"| {name} | {c['tokens']} | {c['generated']:,} | {c['computed']:,} ({c['computed'] / c['generated']:.0%}) | "
                f"{c['restored']:,} | {c['bytes']:,} | {c['bandwidth'] / 1e6:,.0f} MB/s | {same} |",
                flush=True,
            )


# ------------------------------------------------------------ costs

SIMULATED: tuple[dict[str, Any], ...] = (
    {
        "name": "135m", "as": "SmolLM-135M", "share": 3, "mesh": 96, "layers": 30, "hidden": 576, "heads": 9, "kv_heads": 3, "head_size": 64,
        "feed": 1536, "capacity": 16, "vocabulary": 49152, "tied": True, "prefill": (96, 192),
    },
    {
        "name": "0.5b", "as": "Qwen2.5-0.5B", "share": 2, "mesh": 192, "layers": 24, "hidden": 896, "heads": 14, "kv_heads": 2, "head_size": 64,
        "feed": 4864, "capacity": 8, "vocabulary": 151936, "tied": True,
    },
    {
        "name": "1.1b", "as": "TinyLlama-1.1B", "share": 1, "mesh": 256, "layers": 22, "hidden": 2048, "heads": 32, "kv_heads": 4, "head_size": 64,
        "feed": 5632, "capacity": 8, "vocabulary": 32000, "tied": False,
    },
)  # fmt: skip
CONTEXT = 2048  # tokens, of the images whose size is counted
COSTS = """\
# What the models of `meshlang simulate` cost: three sizes, in cycles of this project's own runs. Written by `python -m tests.serve.tables costs`.
# Cycles are those of one layer; embedding and output projection are not in them. Every entry says where its numbers come from.

profile = "wse3"    # machine.clock_mhz of this timing profile makes seconds of cycles

# name; share: of the models of a cluster; mesh: columns and rows of PEs; bytes_per_pe: weights, what an image holds for each PE;
# layers; decode: cycles of a layer for the first token of an empty cache (the first of `results.cycles`, not the run's, which has two
# tokens); prefill: [tokens, cycles of a layer], a line is fitted
"""


def costs(args: argparse.Namespace) -> None:
    args.folder.mkdir(parents=True, exist_ok=True)
    text = COSTS
    for m in SIMULATED:
        sizes = [f"{k}={m[k]}" for k in ("hidden", "heads", "kv_heads", "head_size", "feed")]
        sizes += [f"W={m['mesh']}", f"H={m['mesh']}"]
        decode, decoded = swept(
            args.folder, f"{m['name']}-decode", "decoder", *sizes, "tokens=2", f"capacity={m['capacity']}"
        )
        source = [
            f"bytes: of a placement with a context of {CONTEXT} tokens, all of which may be prefilled (`meshlang llm info FOLDER --mesh "
            f"{m['mesh']}x{m['mesh']} --context {CONTEXT}`).",
            f"decode: `{decode}`.",
        ]
        if "prefill" in m:
            counts = ",".join(map(str, m["prefill"]))
            prefill, points = swept(args.folder, f"{m['name']}-prefill", "prefill", *sizes, f"tokens={counts}")
            line = f"prefill = {[[p['values']['tokens'], p['results']['cycles']] for p in points]}"
            source.append(f"prefill: `{prefill}`.")
        else:
            line = f'prefill_like = "{SIMULATED[0]["name"]}"'
            source.append(
                f"prefill: not measured (hours); that of {SIMULATED[0]['name']}, times the ratio of the cycles of a decoded token."
            )
        text += (
            f'\n[[model]]\nname = "{m["name"]}"       # {m["layers"]} layers of {m["hidden"]} elements, as {m["as"]}\n'
            f"share = {m['share']}\nmesh = [{m['mesh']}, {m['mesh']}]\nbytes_per_pe = {placed_bytes(m)}\nlayers = {m['layers']}\n"
            f"decode = {decoded[0]['results']['cycles'][0]}\n{line}\n"
            + 'source = """\n' + "\n".join(source) + '"""\n'
        )  # fmt: skip
    Path(costs_module.__file__).with_name("costs.toml").write_text(text, encoding="utf-8")


def swept(folder: Path, name: str, program: str, *params: str) -> tuple[str, list[dict[str, Any]]]:
    """A sweep: its command, and its points in the order of the last parameter's values. It is not run if its results are there."""
    arguments = ["sweep", f"programs/{program}", *(word for p in params for word in ("-p", p)), "--arch", "wse3"]
    results = folder / f"{name}.json"
    if not results.exists():
        meshlang(*arguments, "--jobs", 1, "--no-plot", "-o", results)
    return f"meshlang {' '.join(arguments)}", json.loads(results.read_text())["points"]


def placed_bytes(m: dict[str, Any]) -> int:
    """Of weights, on each PE."""
    config = LlamaConfig(
        hidden_size=m["hidden"], heads=m["heads"], kv_heads=m["kv_heads"], head_size=m["head_size"], feed_forward_size=m["feed"],
        layers=m["layers"], vocabulary=m["vocabulary"], tied_embeddings=m["tied"],
    )  # fmt: skip
    return int(
        place(config, m["mesh"], m["mesh"], tokens=CONTEXT, prompt=CONTEXT, dtype=np.float16).memory()["weights"]
    )


# ------------------------------------------------------------ simulate


def simulate(args: argparse.Namespace) -> None:
    print("| | policy | P50 | P95 | P99 | loads | of them remote | moved |\n|---|---|---:|---:|---:|---:|---:|---:|")
    better = [0, 0, 0]
    for slower, rate in ((1, 150), (20, 20), (20, 25), (50, 8), (50, 10)):
        seeds = [
            {s["policy"]: s for s in json.loads(text)["policies"]}
            for seed in range(5)
            for text in [
                meshlang("simulate", "--requests", 4000, "--rate", rate, "--slower", slower, "--seed", seed, "--json")
            ]
        ]
        name = f"{'measured speed' if slower == 1 else f'{slower} times slower'}, {rate} requests/s"
        p99 = {}
        for policy in seeds[0]:
            mean = {k: float(np.mean([s[policy][k] for s in seeds])) for k in ("p50", "p95", "p99", "cold", "moves")}
            remote = float(np.mean([s[policy]["sources"]["remote"] for s in seeds]))
            p99[policy] = mean["p99"]
            times = " | ".join(f"{mean[p]:.3g}" for p in ("p50", "p95", "p99"))
            print(
                f"| {name} | {policy} | {times} | {mean['cold']:,.0f} | {remote:,.0f} | {mean['moves']:,.0f} |",
                flush=True,
            )
            name = ""
        others = ", ".join(f"{policy} {p99[policy] / p99['moves']:.2f}" for policy in p99 if policy != "moves")
        print(f"P99 by that with moves: {others}", file=sys.stderr, flush=True)
        if slower > 1:
            for s in seeds:
                a, b = s["moves"]["p99"], s["no-moves"]["p99"]
                better[0 if a < b else 1 if a == b else 2] += 1
    print(f"runs with slower computing in which P99 is better with moves, the same, worse: {better}", file=sys.stderr)


TABLES: dict[str, Callable[[argparse.Namespace], None]] = {
    "start": start,
    "payload": payload,
    "tiers": tiers,
    "move": move,
    "costs": costs,
    "simulate": simulate,
}

if __name__ == "__main__":
    main()
