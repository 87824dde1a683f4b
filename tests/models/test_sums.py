"""Data of f16 with sums of f32 through all of a model: nearer to the reference in float64, and refused or told where it cannot be."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from checkpoints import write_model

import meshlang
from meshlang import llama, llama_reference
from meshlang.cli import main
from meshlang.models import fit
from meshlang.models.experts import Experts
from meshlang.models.runner import Runner

CONFIG = llama.LlamaConfig(
    hidden_size=96, heads=6, kv_heads=2, head_size=16, feed_forward_size=200, layers=2, vocabulary=80
)
LITTLE = {"hidden_size": 36, "heads": 4, "head_size": 8, "feed_forward_size": 60}
OTHERS = {
    "llama": {},
    "biases": {"qkv_bias": True, "output_bias": True, "feed_bias": True},
    "gemma": {"activation": "gelu", "norm_offset": 1.0, "embeddings_scaled": True, "tied_embeddings": True},
    "qwen3": {"head_norms": True, "window": 7},
}
PROMPT = [5, 9, 11, 30, 17, 2, 60, 41, 77, 3, 12]


def errors(config, sums, prompts=(PROMPT,), new=6, W=4, H=4, mode="resident", batch=1, arch="wse3"):
    """Root mean square of the errors of the logits behind the prompts and behind tokens after them, relative to the largest; the logits' type."""
    weights = config.random_weights(1, np.float16)
    total = sum(map(len, prompts)) + new
    place = fit.place(
        config, H, W, tokens=total, prompt=len(prompts[0]) if batch == 1 else 1, dtype=np.float16, mode=mode, batch=batch, f32_sums=sums
    )  # fmt: skip
    runner = Runner(place, weights, arch, pipeline=mode == "pipeline")
    references = [llama_reference.Reference(config, weights) for _ in range(batch)]
    squares, largest = [], 0.0
    steps = [list(p) for p in prompts] + [[(7 * i) % 80] for i in range(new)]
    for step in steps:
        got = (
            runner.feed(step)[None] if batch == 1 else runner.feed_batch([[t + b for t in step] for b in range(batch)])
        )
        for b, reference in enumerate(references):
            want = reference.logits(reference.decode(reference.embed([t + b for t in step])))[-1]
            squares.append(np.square(got[b].astype(np.float64) - want).mean())
            largest = max(largest, float(np.abs(want).max()))
    return np.sqrt(np.mean(squares)) / largest, got.dtype


@pytest.mark.parametrize("name", OTHERS)
def test_families(name):
    config = dataclasses.replace(CONFIG, **OTHERS[name])
    (with_sums, wide), (without, narrow) = errors(config, True), errors(config, False)
    assert (wide, narrow) == (np.float32, np.float16)
    assert with_sums < 0.8 * without


@pytest.mark.parametrize(
    "more",
    [
        {"mode": "streamed", "W": 3, "H": 2, "prompts": (PROMPT, [4, 8], PROMPT[:5])},
        {"mode": "pipeline", "W": 2, "H": 4, "arch": "wse2"},
        {"batch": 3, "prompts": ([5], [9], [11])},
        {"W": 6, "H": 1},
        {"W": 1, "H": 5, "arch": "wse2"},
    ],
    ids=lambda more: "-".join(map(str, more)),
)
def test_ways(more):
    config = CONFIG if min(more.get("W", 4), more.get("H", 4)) > 1 else dataclasses.replace(CONFIG, **LITTLE)
    (with_sums, wide), (without, _) = errors(config, True, **more), errors(config, False, **more)
    assert wide == np.float32 and with_sums < 0.9 * without


@pytest.mark.parametrize("name", ["llama", "biases"])
@pytest.mark.parametrize("H, W, prompt", [(4, 6, 16), (3, 3, 9), (3, 2, 0)])
def test_memory_is_what_the_placement_says(name, H, W, prompt):
    config = dataclasses.replace(CONFIG, **OTHERS[name], **LITTLE)
    place = llama.Placement(config, H, W, capacity=6, prompt=prompt, head=True, f32_sums=True)
    program = meshlang.compile(llama.MODEL, arch="wse3", params=place.model_params()).ir
    need = max(o.address + o.size for t in program.tiles for o in t.objects)
    assert need <= sum(place.memory().values()) <= need + 700


def test_with_float32_it_is_what_is_there():
    place = llama.Placement(CONFIG, 4, 4, capacity=4, dtype=np.float32, f32_sums=True)
    assert not place.f32_sums
    assert place.memory() == llama.Placement(CONFIG, 4, 4, capacity=4, dtype=np.float32).memory()


def test_not_with_experts():
    config = dataclasses.replace(CONFIG, experts=Experts(4, 2))
    with pytest.raises(meshlang.MeshlangError) as caught:
        llama.Placement(config, 4, 4, capacity=4, f32_sums=True)
    assert caught.value.diagnostics[0].code == "MS0991" and "experts" in caught.value.diagnostics[0].message


def test_command_and_image(tmp_path, capsys):
    write_model(tmp_path, "F16", seed=3)

    def generate(source, *more, code=0):
        assert main(["llm", "generate", str(source), "--tokens", "5,9,11", "--new", "4", "--json", *more]) == code
        return capsys.readouterr()

    found = json.loads(generate(tmp_path, "--mesh", "3x3", "--sums", "f32").out)
    plain = json.loads(generate(tmp_path, "--mesh", "3x3").out)
    assert (found["dtype"], found["sums"], plain["sums"]) == ("f16", "f32", "f16")
    assert found["cycles"] != plain["cycles"]
    image = tmp_path / "m.wimg"
    assert (
        main(
            [
                "llm",
                "place",
                str(tmp_path),
                "--mesh",
                "3x3",
                "--sums",
                "f32",
                "--prefill",
                "2",
                "--context",
                "6",
                "-o",
                str(image),
            ]
        )
        == 0
    )
    capsys.readouterr()
    again = json.loads(generate(image, "--sums", "f32").out)
    assert again["turns"][0]["tokens"] == found["turns"][0]["tokens"] and again["sums"] == "f32"
    assert main(["llm", "place", str(tmp_path), "--mesh", "3x3", "-o", str(image)]) == 0
    capsys.readouterr()
    assert "placed with sums f16, and f32 is asked for" in generate(image, "--sums", "f32", code=1).out
    assert main(["llm", "info", str(tmp_path), "--mesh", "3x3", "--sums", "f32", "--json"]) == 0
    more = json.loads(capsys.readouterr().out)["resident"]["memory"]["buffers"]
    assert main(["llm", "info", str(tmp_path), "--mesh", "3x3", "--json"]) == 0
    assert more > json.loads(capsys.readouterr().out)["resident"]["memory"]["buffers"]
