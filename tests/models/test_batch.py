"""Several sequences at the same time: each as the reference says, and mistakes."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from checkpoints import write_model, write_tokenizer

import meshlang
from meshlang import llama, llama_reference
from meshlang.cli import main
from meshlang.models import fit
from meshlang.models.experts import Experts
from meshlang.models.generate import lockstep, together
from meshlang.models.runner import Runner
from meshlang.models.sampling import Sampling

SMALL = llama.LlamaConfig(
    hidden_size=30, heads=4, kv_heads=2, head_size=8, feed_forward_size=44, layers=2, vocabulary=40
)
KINDS = {
    "plain": {},
    "all options": {
        "qkv_bias": True, "output_bias": True, "feed_bias": True, "head_norms": True, "activation": "gelu", "window": 4,
    },
    "experts": {"experts": Experts(6, 3, renormalise=False, shared_size=13), "wide_norms": True},
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    "W, H, batch, dtype, arch, more",
    [(4, 3, 4, np.float32, "wse3", {"pieces": 2}), (5, 2, 3, np.float16, "wse2", {"layers": 1})],
)
def test_each_sequence(name, W, H, batch, dtype, arch, more):
    """Resident with the output projection in two pieces, and streamed; experts in regions."""
    config = dataclasses.replace(SMALL, **KINDS[name])
    regions = 2 if config.experts and W == 5 else 1
    place = llama.Placement(config, H, W, capacity=3, dtype=dtype, head=True, batch=batch, regions=regions, **more)
    weights = config.random_weights(4, dtype)  # none of whose routers has two logits that f16 takes for each other
    for key in weights:
        if key.endswith("gate.weight"):
            weights[key] = 4 * weights[key]
    runner = Runner(place, weights, arch)
    references = [llama_reference.Reference(config, weights) for _ in range(batch)]
    tokens = np.random.default_rng(0).integers(0, 40, (batch, 3)).tolist()
    for _ in range(3):
        got = runner.feed_batch(tokens)
        want = np.stack([r.logits(r.decode(r.embed(t)))[-1] for r, t in zip(references, tokens)])
        for one, expected in zip(got, want):
            assert meshlang.largest_error(one, expected, relative=True) <= llama.tolerance(config, dtype)
        tokens = want.argmax(1)[:, None].tolist()
    if config.experts:
        routes = np.array([r.routes for r in references])  # [batch, layers, tokens, chosen]
        assert np.array_equal(np.array(runner.routes), routes.transpose(2, 1, 0, 3))


@pytest.mark.parametrize("name, dtype", [("experts", np.float16), ("all options", np.float32), ("plain", np.float32)])
def test_lengths_and_single_runs(name, dtype):
    """Prompts of unequal lengths together: each has the logits it has alone, to the last bit."""
    config = dataclasses.replace(SMALL, **KINDS[name])
    weights = config.random_weights(3, dtype)
    rng = np.random.default_rng(1)
    prompts = [rng.integers(0, 40, n).tolist() for n in (4, 1, 2)]
    wanted = []
    for prompt in prompts:
        runner = Runner(llama.Placement(config, 3, 4, capacity=3, dtype=dtype, head=True), weights, "wse3")
        logits = [runner.feed(prompt)]
        while runner.tokens < 6:
            logits.append(runner.feed([int(logits[-1].argmax())]))
        wanted.append((logits, np.array(runner.routes)))
    place = llama.Placement(config, 3, 4, capacity=3, dtype=dtype, head=True, batch=3)
    runner, sequences = Runner(place, weights, "wse3"), [list(prompt) for prompt in prompts]
    for length, got in lockstep(runner, sequences):
        for i, (sequence, prompt) in enumerate(zip(sequences, prompts)):
            if len(sequence) == length:
                assert np.array_equal(got[i], wanted[i][0][length - len(prompt)])
                sequence.append(int(got[i].argmax()))
        if length == 6:
            break
    for i, (_, routes) in enumerate(wanted):
        if config.experts:
            assert np.array_equal(np.array(runner.routes)[:, :, i], routes[:, :, 0])


class Copies:
    """A batch of models that say the number behind the last one, up to 9."""

    def __init__(self, batch):
        self.place, self.fed, self.decode_cycles = SimpleNamespace(batch=batch), [], []

    def feed_batch(self, tokens):
        self.fed.append([list(t) for t in tokens])
        self.decode_cycles.append(len(self.fed))
        return np.eye(10)[[(t[-1] + 1) % 10 for t in tokens]]


def test_when_sequences_stop():
    runner = Copies(3)
    turns = together(runner, [[5, 6], [1], [0, 0, 2]], 4, Sampling(), end_tokens=frozenset([8]))
    assert [(t.prompt, t.tokens, t.stopped) for t in turns] == [
        ([5, 6], [7, 8], "end"),
        ([1], [2, 3, 4, 5], "length"),
        ([0, 0, 2], [3, 4, 5, 6], "length"),
    ]
    assert [t.cycles for t in turns] == [[2, 3], [1, 2, 3, 4], [3, 4, 5, 6]]
    # one that has stopped goes on with its last token
    assert runner.fed == [
        [[5], [1], [0]], [[6], [2], [0]], [[7], [3], [2]], [[8], [4], [3]], [[8], [5], [4]], [[8], [5], [5]],
    ]  # fmt: skip


def test_the_command(tmp_path, capsys):
    write_model(
        tmp_path, model_type="mixtral", architectures=["MixtralForCausalLM"], num_local_experts=4, num_experts_per_tok=2
    )
    write_tokenizer(tmp_path)
    prompts = ["5,9,11,30", "8", "7,7,2"]
    common = ["llm", "generate", str(tmp_path), "--mesh", "4x2", "--dtype", "f32", "--new", "3", "--temperature", "0.7"]

    def generate(*tokens, batch):
        given = [a for t in tokens for a in ("--tokens", t)]
        assert main([*common, *given, *(["--batch"] if batch else []), "--json", "--ignore-eos"]) == 0
        return json.loads(capsys.readouterr().out)

    found = generate(*prompts, batch=True)
    assert found["batch"] == 3 and found["prefill_tokens"] == 0
    for prompt, turn, routes in zip(prompts, found["turns"], found["routes"]):
        alone = generate(prompt, batch=False)
        assert turn["tokens"] == alone["tokens"] and turn["text"] == alone["text"] and turn["stopped"] == "length"
        assert routes == alone["routes"]
    assert main([*common, "--tokens", "5", "--tokens", "6,7", "--batch"]) == 0
    out = capsys.readouterr()
    assert [line[:3] for line in out.out.splitlines()] == ["1: ", "2: "] and "cycles a step" in out.err
    assert main(["llm", "place", str(tmp_path), "--mesh", "4x2", "-o", str(tmp_path / "m.wimg")]) == 0
    assert main(["llm", "generate", str(tmp_path / "m.wimg"), "--tokens", "5", "--batch"]) == 2
    assert "placed for one sequence" in capsys.readouterr().err


def test_memory_is_what_the_placement_says():
    for name, more in KINDS.items():
        config = dataclasses.replace(SMALL, **more)
        place = llama.Placement(config, 3, 4, capacity=6, head=True, batch=5)
        program = meshlang.compile(llama.MODEL, arch="wse3", params=place.model_params()).ir
        need = max(o.address + o.size for t in program.tiles for o in t.objects)
        assert need <= sum(place.memory().values()) <= need + 700, name


@pytest.mark.parametrize("name", KINDS)
def test_memory_grows_as_the_program_does(name):
    """With wider feed-forward layers by as many bytes as its arrays do, but for what their addresses are rounded to."""

    def needed(size):
        config = dataclasses.replace(SMALL, **{**KINDS[name], "feed_forward_size": size})
        place = llama.Placement(config, 3, 4, capacity=6, head=True, batch=5)
        program = meshlang.compile(llama.MODEL, arch="wse3", params=place.model_params()).ir
        return sum(place.memory().values()), max(sum(o.size for o in t.objects) for t in program.tiles)

    (told, real), (more, really) = needed(24), needed(120)
    assert more - told == pytest.approx(really - real, abs=64)


def refusal(call, *args, **more):
    with pytest.raises(meshlang.MeshlangError) as caught:
        call(*args, **more)
    return caught.value.diagnostics[0]


def test_batches_that_cannot_be():
    found = refusal(llama.Placement, SMALL, 3, 3, capacity=4, batch=0)
    assert found.code == "MS1432" and "at least one sequence, found 0" in found.message
    found = refusal(llama.Placement, SMALL, 3, 3, capacity=4, batch=2, prompt=4)
    assert found.code == "MS1432" and "decoded token by token" in found.message
    found = refusal(llama.Placement, SMALL, 3, 3, capacity=4, batch=200, dtype=np.float32)
    assert found.code == "MS0992" and "of 200 sequences" in found.message and "a smaller batch" in found.help


def test_a_batch_that_is_too_large():
    """The refusal says how many sequences fit, and they do; if none does it is the model that is too large."""
    fits = functools.partial(fit.place, SMALL, 3, 3, tokens=12, dtype=np.float32)
    found = refusal(fits, batch=200)
    assert found.code == "MS1432" and "of 200 sequences" in found.message
    most = int(re.findall(r"would fit: (\d+);", found.help)[0])
    assert fits(batch=most).batch == most
    assert refusal(fits, batch=most + 1).help == found.help
    assert refusal(fit.place, SMALL, 3, 3, tokens=40000, dtype=np.float32, batch=2).code == "MS0992"


def test_sequences_that_cannot_be():
    place = llama.Placement(SMALL, 3, 3, capacity=4, dtype=np.float32, head=True, batch=2)
    runner = Runner(place, SMALL.random_weights(), "wse3")
    for sequences, code, message in (
        ([[1, 2], [3]], "MS1432", "found 2 sequences with 1 and 2 tokens"),
        ([[1]], "MS1432", "found 1 sequences with 1 tokens"),
        ([[1], [40]], "MS1422", "token 40 is not one of the model's 40"),
        ([[], []], "MS1422", "no token to start from"),
        ([[0] * 13, [0] * 13], "MS0993", "13 tokens"),
    ):
        found = refusal(runner.feed_batch, sequences)
        assert found.code == code and message in found.message
