"""Programs of a checkout of WaferLLM (OSDI'25), compiled and run as they are: MESHLANG_WAFERLLM names it. Nothing of it is here.

Each of its folders has a layout, and a host script for simulators that prints the cycles of its kernel. A run takes place in a copy of
the folder, with the vendor's commands (`meshlang sdk`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from meshlang.models.paper.lab import NotRun

VARIABLE = "MESHLANG_WAFERLLM"
FOLDERS = {"wse2": "WSE-2", "wse3": "WSE-3"}
PRINTED = {name: re.compile(rf"^{name} cycle count: ([\d.]+)", re.I | re.M) for name in ("mean", "max")}


def _tree(P: int, groups: int) -> dict[str, int]:
    """PEs of a group, and the roots of both phases of a sum."""
    each = P // groups
    return {"pe_num_group": each, "root_1st_phase": each // 2, "root_2nd_phase": groups // 2 * each + each // 2}


def _tiles(sizes: Mapping[str, int], names: Mapping[str, str]) -> dict[str, int]:
    return {out: sizes[name] // sizes["P"] for out, name in names.items()}


LAYER = {"dim_p_pe": "dim", "head_dim_p_pe": "head_dim", "seq_len_p_pe": "seq_len", "ffn_dim_p_pe": "ffn_dim"}


def _commands(kernel: str, sizes: Mapping[str, int]) -> tuple[dict[str, int], list[str]]:
    """Params of a kernel's layout, and arguments of its host script; sizes as the script names them."""
    P = sizes["P"]
    if kernel == "MeshGEMM":
        return {"P": P, **_tiles(sizes, {"Mt": "M", "Kt": "K", "Nt": "N"})}, _flags(sizes, "PMKN")
    if kernel == "MeshGEMV":
        return {"P": P, **_tiles(sizes, {"Mt": "M", "Nt": "N"}), **_tree(P, sizes["group_num"])}, _flags(sizes, "PMN")
    params = {"P": P, **_tiles(sizes, LAYER), "pes_p_head": P // sizes["n_heads"], "pes_p_kv_head": P // sizes["n_kv_heads"]}  # fmt: skip
    if kernel == "Decode":
        tree = _tree(P, sizes["group_num"])
        params |= {"bsz": sizes["bsz"], "pe_num_p_group": tree.pop("pe_num_group"), **tree}
    return params, ["--config", "sizes.json"]


def _flags(sizes: Mapping[str, int], names: str) -> list[str]:
    return [part for name in names for part in (f"--{name}", str(sizes[name]))]


def run(kernel: str, sizes: Mapping[str, Any], arch: str, profile: str, limit: float | None) -> dict[str, float]:
    """Cycles of a kernel (MeshGEMM, MeshGEMV, Decode, Prefill): `mean` of the PEs and `max`, from the first that begins to the last that ends,
    as its host script prints them. NotRun if there is no checkout, or if it gave none within `limit` seconds."""
    source = os.environ.get(VARIABLE)
    if not source:
        raise NotRun(f"{VARIABLE} names no checkout of WaferLLM")
    folder = Path(source) / kernel / FOLDERS[arch]
    if not (folder / "launch_sim.py").is_file():
        raise NotRun(
            f"{VARIABLE}: {source} has no {kernel}/{FOLDERS[arch]}/launch_sim.py; expected a checkout of WaferLLM"
        )
    params, arguments = _commands(kernel, sizes)
    P = sizes["P"]
    shown = f"WaferLLM's {kernel} (P={P})"
    end = None if limit is None else time.monotonic() + limit
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "copy"
        shutil.copytree(folder, copy)
        (copy / "sizes.json").write_text(json.dumps(dict(sizes)), encoding="utf-8")
        compiler = [
            f"--fabric-dims={P + 7},{P + 2}",
            "--fabric-offsets=4,1",
            "-o",
            "out",
            "--memcpy",
            "--channels",
            "1",
        ]
        compiler += [f"--arch={arch}", "--params=" + ",".join(f"{k}:{v}" for k, v in params.items())]
        _step(["cslc", "./src/layout.csl", *compiler], copy, profile, end, shown)
        printed = _step(["cs_python", "./launch_sim.py", *arguments], copy, profile, end, shown)
    found = {name: pattern.search(printed) for name, pattern in PRINTED.items()}
    if not all(found.values()):
        raise NotRun(f"{shown}: its host script printed no cycles")
    return {name: float(match[1]) for name, match in found.items() if match}


def _step(command: Sequence[str], folder: Path, profile: str, end: float | None, shown: str) -> str:
    """What a command prints. Its processes are a group of their own, which ends with it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "meshlang", "sdk", "--", *command], cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True, env={**os.environ, "MESHLANG_PROFILE": profile},
    )  # fmt: skip
    try:
        out, err = process.communicate(timeout=None if end is None else max(end - time.monotonic(), 1.0))
    except subprocess.TimeoutExpired:
        raise NotRun(f"{shown}: it was ended, its time was over") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode:
        last = (err.strip() or out.strip() or "no message").splitlines()[-1]
        raise NotRun(f"{shown}: {command[0]} ended with code {process.returncode}: {last}")
    return out
