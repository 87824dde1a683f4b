"""The language-model programs: what `meshlang run` prints (MESHLANG_UPDATE_GOLDEN=1 writes it anew), and what they
refuse."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from meshlang.cli import main

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).parent / "golden"

RUNS = [
    ["decoder"],
    ["decoder", "--arch", "wse3"],
    ["decoder", "-p", "context=9", "-p", "tokens=3"],
    [
        "decoder",
        "-p",
        "W=5",
        "-p",
        "H=3",
        "-p",
        "f32=true",
        "-p",
        "layers=2",
        "-p",
        "interleaved=true",
        "--arch",
        "wse3",
    ],
    ["decoder", "-p", "W=2", "-p", "H=6", "-p", "concat=true", "-p", "heads=6", "-p", "kv_heads=3", "-p", "tokens=4"],
    [
        "decoder",
        "-p",
        "W=16",
        "-p",
        "H=16",
        "-p",
        "hidden=256",
        "-p",
        "heads=16",
        "-p",
        "kv_heads=4",
        "-p",
        "head_size=16",
        "-p",
        "feed=512",
        "-p",
        "tokens=3",
        "--arch",
        "wse3",
    ],
    ["prefill"],
    ["prefill", "--arch", "wse3"],
    [
        "prefill",
        "-p",
        "W=3",
        "-p",
        "H=2",
        "-p",
        "f32=true",
        "-p",
        "layers=2",
        "-p",
        "interleaved=true",
        "-p",
        "tokens=8",
        "-p",
        "heads=6",
        "-p",
        "kv_heads=3",
    ],
    ["prefill", "-p", "W=4", "-p", "H=8", "-p", "hidden=64", "--arch", "wse3"],
    ["tiny_llama"],
    ["tiny_llama", "--arch", "wse3"],
    [
        "tiny_llama",
        "-p",
        "W=4",
        "-p",
        "H=4",
        "-p",
        "f16=true",
        "-p",
        "hidden=40",
        "-p",
        "feed=60",
        "-p",
        "prompt=7",
        "-p",
        "new=10",
    ],
    ["tiny_llama", "-p", "W=6", "-p", "H=4", "-p", "prompt=5", "-p", "new=4", "--arch", "wse3"],
    ["moe"],
    [
        "moe",
        "-p",
        "W=5",
        "-p",
        "H=3",
        "-p",
        "f32=true",
        "-p",
        "shared=20",
        "-p",
        "all_logits=true",
        "-p",
        "regions=1,2",
        "-p",
        "feed=24",
        "--arch",
        "wse3",
    ],
    ["kv_cache"],
    ["kv_cache", "-p", "W=1", "-p", "H=5", "-p", "heads=2", "-p", "elements=3", "--arch", "wse3"],
]


def name_of(arguments: list[str]) -> str:
    return "_".join(a.removeprefix("--").replace("=", "") for a in arguments if a not in ("-p",))


@pytest.mark.parametrize("arguments", RUNS, ids=name_of)
def test_golden(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = main(["run", str(ROOT / "programs" / arguments[0]), *arguments[1:]])
    text = capsys.readouterr().out.replace(str(ROOT), "")
    assert code == 0
    file = GOLDEN / f"{name_of(arguments)}.txt"
    if os.environ.get("MESHLANG_UPDATE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["decoder", "-p", "heads=6", "-p", "kv_heads=4"], "6 query heads do not divide among 4 key-value heads"),
        (["decoder", "-p", "head_size=7"], "a head size of 7 is odd"),
        (["decoder", "-p", "hidden=0"], "hidden_size must be a positive integer, found 0"),
        (["decoder", "-p", "context=-1"], "context is 0 or positive, and there is at least one token"),
        (["decoder", "-p", "tokens=17"], "17 tokens, but 4 per PE on 4 rows hold 16 (shift)"),
        (["decoder", "-p", "tokens=5", "-p", "concat=true"], "5 tokens, but 4 per PE on 4 rows hold 4 (concatenate)"),
        (
            ["decoder", "-p", "hidden=512", "-p", "feed=512", "-p", "W=2", "-p", "H=2"],
            "of a PE's 49,152 bytes (weights",
        ),
        (["decoder", "-p", "W=0"], "1 layers with 4 tokens per PE on 0 x 4 PEs"),
        (["decoder", "-p", "config=nowhere.json"], "cannot read nowhere.json"),
        (
            ["prefill", "-p", "W=1"],
            "a prefill needs a mesh of at least 2 x 2 PEs, whose rows and columns are rings; found 1 x 4",
        ),
        (["prefill", "-p", "tokens=0"], "W, H and tokens must be positive, found 4, 4 and 0"),
        (["prefill", "-p", "tokens=2000"], "of a PE's 49,152 bytes (weights"),
        (["tiny_llama", "-p", "capacity=2"], "32 tokens, but 2 per PE on 8 rows hold 16 (shift)"),
        (["tiny_llama", "-p", "new=0"], "W, H, prompt and new must be positive, found 8, 8, 13 and 0"),
        (["moe", "-p", "chosen=17"], "a token goes through 17 experts, but there are 16"),
        (["moe", "-p", "regions=3"], "16 experts do not divide among 3 regions"),
        (["moe", "-p", "regions=16"], "8 columns cannot be 16 regions"),
        (["moe", "-p", "batches=0"], "batches and steps must be positive"),
        (["moe", "-p", "batches=1000"], "of 1000 sequences"),
        (["moe", "-p", "skew=2"], "skew must be between 0 and 1, found 2"),
        (["kv_cache", "-p", "bytes=10"], "a token takes 18 bytes of a PE; 10 are too few"),
        (["kv_cache", "-p", "H=0"], "must be positive, found 2, 0, 1 and 4"),
    ],
)
def test_refused(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["run", str(ROOT / "programs" / arguments[0]), *arguments[1:]]) == 1
    assert message in capsys.readouterr().err
