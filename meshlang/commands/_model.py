"""What commands that run a model have in common: its mesh, its type, prompts as token numbers."""

from __future__ import annotations

import argparse
import re
from typing import Any


def mesh_of(text: str | None) -> tuple[int, int]:
    from meshlang.diag import usage_error

    if text is None:
        raise usage_error("--mesh is missing: columns x rows, such as --mesh 16x16")
    found = re.fullmatch(r"(\d{1,4})x(\d{1,4})", text)
    if not found or "0" in (found[1].lstrip("0") or "0", found[2].lstrip("0") or "0"):
        raise usage_error(f"--mesh {text}: expected columns x rows, such as 16x16")
    return int(found[1]), int(found[2])


def dtype_of(name: str | None) -> Any:
    import numpy as np

    return {"f16": np.float16, "f32": np.float32}[name or "f16"]


def f32_sums(args: argparse.Namespace) -> bool:
    """Does --sums ask for sums in f32?"""
    return bool(args.sums == "f32")


def token_lists(texts: list[str]) -> list[list[int]]:
    """What --tokens gives."""
    from meshlang.diag import usage_error

    lists = [re.split(r"\s*,\s*|\s+", text.strip()) for text in texts]
    if not all(n.isascii() and n.isdigit() for numbers in lists for n in numbers):
        raise usage_error(f"--tokens {' '.join(texts)}: expected token numbers, such as 5,9,11")
    return [[int(n) for n in numbers] for numbers in lists]
