"""`meshlang llm`: tokens and texts from a folder, resident and streamed, against the reference in float64."""

from __future__ import annotations

import json

import numpy as np
import pytest
from checkpoints import write_model, write_tokenizer

import meshlang
from meshlang import llama, llama_reference
from meshlang.cli import main
from meshlang.models import fit
from meshlang.models.checkpoint import Checkpoint
from meshlang.models.generate import Generator, Turn
from meshlang.models.runner import Runner
from meshlang.models.sampling import Sampling


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    write_model(path, "BF16", shards=2, seed=3)
    write_tokenizer(path)
    return path


def greedy(folder, prompt, new):
    """The reference's tokens."""
    checkpoint = Checkpoint(folder)
    reference = llama_reference.Reference(checkpoint.config, checkpoint)
    logits, out = reference.logits(reference.decode(reference.embed(prompt)))[-1], []
    for _ in range(new):
        out.append(int(logits.argmax()))
        logits = reference.logits(reference.decode(reference.embed(out[-1:])))[-1]
    return out


def run(capsys, *arguments, code=0):
    assert main(["llm", *map(str, arguments)]) == code
    return capsys.readouterr()


def generate(capsys, folder, *arguments, code=0):
    out = run(capsys, "generate", folder, "--dtype", "f32", "--json", *arguments, code=code).out
    return json.loads(out)


PROMPT = [5, 9, 11, 30, 17, 2, 60]


@pytest.mark.parametrize("mode", ["resident", "streamed"])
@pytest.mark.parametrize(
    "mesh, prompt", [("4x4", PROMPT), ("3x2", PROMPT[:2]), ("2x3", PROMPT[:1]), ("5x1", PROMPT[:3])]
)
def test_tokens(folder, capsys, mode, mesh, prompt):
    got = generate(
        capsys,
        folder,
        "--tokens",
        ",".join(map(str, prompt)),
        "--new",
        8,
        "--mesh",
        mesh,
        "--layers",
        mode,
        "--ignore-eos",
    )
    assert got["tokens"] == greedy(folder, prompt, 8)
    assert got["layers"] == mode and got["mesh"] == [int(n) for n in mesh.split("x")]
    assert len(got["cycles"]) == 8 and min(got["cycles"]) > 0
    prefilled = len(prompt) - 1 if min(got["mesh"]) > 1 else 0
    assert got["prefill_tokens"] == prefilled and (got["prefill_cycles"] > 0) == (prefilled > 0)
    # one token needs no prefill, and nothing to turn back for
    assert (got["settle_cycles"] > 0) == (prefilled > 0 and mode == "resident")


def test_two_turns(folder, capsys):
    got = generate(capsys, folder, "--tokens", "5,9,11", "--tokens", "8,7", "--new", 4, "--mesh", "4x4", "--ignore-eos")
    first = greedy(folder, [5, 9, 11], 4)
    second = greedy(folder, [5, 9, 11, *first, 8, 7], 4)
    assert [t["tokens"] for t in got["turns"]] == [first, second] and got["tokens"] == first + second


def test_pieces_and_short_prefills_change_nothing(folder):
    """The output projection in pieces that do not divide the vocabulary; a prompt of which a part is prefilled."""
    checkpoint = Checkpoint(folder)
    reference = llama_reference.Reference(checkpoint.config, checkpoint)
    want = reference.logits(reference.decode(reference.embed(PROMPT)))[-1]
    for layers, prompt, pieces in ((2, 6, 5), (1, 3, 3), (2, 0, 16)):
        place = llama.Placement(
            checkpoint.config,
            4,
            4,
            capacity=4,
            dtype=np.float32,
            layers=layers,
            head=True,
            prompt=prompt,
            pieces=pieces,
        )
        got = Runner(place, checkpoint, "wse3").feed(PROMPT)
        assert meshlang.largest_error(got, want, relative=True) <= llama.tolerance(checkpoint.config, np.float32)


def test_text(folder, capsys):
    pytest.importorskip("tokenizers", reason="the extra llm is not installed")
    # "cab" is the tokens 1 (begin), 6, 4, 5
    want = greedy(folder, [1, 6, 4, 5], 6)
    options = ("--prompt", "cab", "--new", 6, "--mesh", "4x4", "--ignore-eos")
    got = generate(capsys, folder, *options)
    assert got["turns"][0]["prompt"] == [1, 6, 4, 5] and got["tokens"] == want
    shown = run(capsys, "generate", folder, "--dtype", "f32", *options)
    assert shown.out == got["text"] + "\n"
    assert "prefill of 3 tokens" in shown.err and "decoding" in shown.err
    stop = got["text"][2:4]
    stopped = generate(capsys, folder, *options, "--stop", stop)
    assert stopped["text"] == got["text"][: got["text"].index(stop)] and stopped["turns"][0]["stopped"] == "stop"


class Fixed:
    """A runner whose logits prefer given tokens, one after the other."""

    def __init__(self, tokens):
        self.tokens, self.decode_cycles, self.fed = list(tokens), [1], []

    def feed(self, tokens):
        self.fed += tokens
        return np.eye(64)[self.tokens.pop(0)]


class Letters:
    """Token n is a letter; 40 and 41 are two halves of one character."""

    def decode(self, tokens):
        halves = {40: "\N{REPLACEMENT CHARACTER}", 41: "\N{REPLACEMENT CHARACTER}"}
        text = "".join(halves.get(t, chr(ord("a") + t % 26)) for t in tokens)
        return text.replace("\N{REPLACEMENT CHARACTER}" * 2, "é")


def test_streaming_and_stopping():
    for stops, ends, pieces, text, stopped in (
        ((), (), ["a", "b", "", "é", "c"], "abéc", "length"),
        (("bx",), (), ["a", "", "", "bé", "c"], "abéc", "length"),  # b may be the beginning of it
        (("éc",), (), ["a", "b", "", ""], "ab", "stop"),
        ((), (1,), ["a", "b"], "ab", "end"),
    ):
        runner, turn = Fixed([0, 1, 40, 41, 2]), Turn([])
        generator = Generator(runner, Sampling(), Letters(), frozenset(ends), stops)
        out = list(generator.turn([7], 5, turn))
        assert "".join(out) == turn.text == text and turn.stopped == stopped
        assert out[: len(pieces)] == pieces
        assert len(turn.cycles) == len(turn.tokens)
        # what was chosen last has not been looked at, and comes before the next prompt
        runner.tokens = [3]
        list(generator.turn([9], 1, Turn([])))
        assert runner.fed == [7, *turn.tokens, 9]


def test_sampling():
    logits = np.array([1.0, 3.0, 2.0, -1.0])
    assert Sampling().choose(logits, Sampling().generator()) == 1
    p = Sampling(temperature=2.0).probabilities(logits)
    assert np.allclose(p, np.exp(logits / 2) / np.exp(logits / 2).sum())
    assert (Sampling(temperature=1.0, top_k=2).probabilities(logits) > 0).tolist() == [False, True, True, False]
    for top_p, kept in ((0.5, [1]), (0.7, [1, 2]), (0.95, [0, 1, 2]), (1.0, [0, 1, 2, 3])):
        p = Sampling(temperature=1.0, top_p=top_p).probabilities(logits)
        assert np.flatnonzero(p).tolist() == kept and np.isclose(p.sum(), 1)
    draw = Sampling(temperature=1.0, seed=5)
    one, two = draw.generator(), draw.generator()
    assert [draw.choose(logits, one) for _ in range(20)] == [draw.choose(logits, two) for _ in range(20)]
    counts = np.bincount([draw.choose(logits, one) for _ in range(4000)], minlength=4) / 4000
    assert np.abs(counts - draw.probabilities(logits)).max() < 0.03


@pytest.mark.parametrize("by", [0.0, 1e3, -1e5, 3e4])
def test_only_differences_of_logits_count(by):
    """However large they are: no number overflows on the way to probabilities."""
    logits = np.array([1.0, 3.0, 2.5, -4.0])
    p = Sampling(temperature=0.5).probabilities(logits + by)
    weights = np.exp(2 * (logits - 3))
    assert np.allclose(p, weights / weights.sum(), rtol=1e-9, atol=0)


def test_sampling_refused():
    for more in (
        {"temperature": -1.0},
        {"temperature": np.nan},
        {"top_k": -1},
        {"top_p": 0.0},
        {"top_p": 1.5},
        {"seed": -1},
    ):
        with pytest.raises(meshlang.MeshlangError) as found:
            Sampling(**more)
        assert found.value.diagnostics[0].code == "MS1420"
    with pytest.raises(meshlang.MeshlangError) as found:
        Sampling().choose(np.array([1.0, np.nan]), Sampling().generator())
    assert found.value.diagnostics[0].code == "MS1421"


@pytest.mark.parametrize(
    "arguments, code, text",
    [
        (["--tokens", "5,64"], 1, "token 64 is not one of the model's 64"),
        (["--tokens", "5,x"], 2, "expected token numbers"),
        (["--tokens", ""], 2, "expected token numbers"),
        (["--tokens", "5", "--new", "0"], 2, "--new 0: expected at least 1"),
        (["--tokens", "5", "--mesh", "4"], 2, "--mesh 4: expected columns x rows"),
        (["--tokens", "5", "--mesh", "0x4"], 2, "--mesh 0x4"),
        (["--tokens", "5", "--temperature", "-1"], 1, "a temperature is 0 or a positive number"),
        (["--tokens", "5", "--new", "70000"], 1, "error[MS0992]: 1 layer with 17500 tokens per PE on 4 x 4 PEs take"),
    ],
)
def test_refused(folder, capsys, arguments, code, text):
    mesh = [] if "--mesh" in arguments else ["--mesh", "4x4"]
    assert text in run(capsys, "generate", folder, *mesh, *arguments, code=code).err


def test_text_without_a_tokenizer(tmp_path, capsys):
    write_model(tmp_path)
    assert "has no tokenizer.json" in run(capsys, "generate", tmp_path, "--prompt", "a", "--mesh", "2x2", code=1).err
    (tmp_path / "tokenizer.json").write_text("{}")
    pytest.importorskip("tokenizers", reason="the extra llm is not installed")
    assert "is no tokenizer" in run(capsys, "generate", tmp_path, "--prompt", "a", "--mesh", "2x2", code=1).err


def test_without_the_library(folder, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    assert (
        "pip install 'meshlang[llm]'" in run(capsys, "generate", folder, "--prompt", "a", "--mesh", "2x2", code=1).err
    )


def test_what_is_done_meanwhile(folder, monkeypatch):
    """Each part of a run is named before it is done."""
    from meshlang.models import runner

    said = []
    monkeypatch.setattr(runner, "stage", said.append)
    checkpoint = Checkpoint(folder)
    streamed = llama.Placement(checkpoint.config, 2, 2, capacity=8, layers=1, head=True, pieces=2, prompt=2)
    Runner(streamed, checkpoint).feed([5, 9, 11])
    layers = [f"layer {i} of 2" for i in (1, 2)]
    pieces = [f"token 3: output projection, piece {i} of 2" for i in (1, 2)]
    assert said == [f"prefill of 2 tokens: {l}" for l in layers] + [f"token 3: {l}" for l in layers] + pieces
    said.clear()
    Runner(llama.Placement(checkpoint.config, 2, 2, capacity=8, head=True, prompt=2), checkpoint).feed([5, 9, 11])
    assert said[:2] == [f"writing the weights of {l}" for l in layers]
    assert said[2:] == ["prefill of 2 tokens", "turning the weights back", "token 3"]


# ---------------------------------------------------------------- what fits


def test_info(folder, capsys):
    data = json.loads(run(capsys, "info", folder, "--mesh", "4x4", "--json").out)
    assert data["resident"]["fits"] and data["layers_resident"] == 2 and data["config"]["hidden_size"] == 32
    text = run(capsys, "info", folder, "--mesh", "4x4").out
    assert "layers resident at most   2 of 2" in text and "all layers resident       yes: weights" in text


BIG = llama.LlamaConfig(
    hidden_size=576, heads=9, kv_heads=3, head_size=64, feed_forward_size=1536, layers=30, vocabulary=49152, tied_embeddings=True
)  # fmt: skip


def test_what_fits_is_as_large_as_can_be():
    found = fit.report(BIG, 16, 16, tokens=64, dtype=np.float16)
    assert not found["resident"]["fits"] and "30 layers" in found["resident"]["why"] and found["layers_resident"] == 1
    streamed = found["streamed"]
    assert streamed["fits"] and sum(streamed["memory"].values()) + streamed["free"] == 49152
    place = fit.place(BIG, 16, 16, tokens=64, prompt=64, dtype=np.float16)
    assert place.layers == 1 and place.pieces == streamed["output_pieces"] > 1 and place.prompt == streamed["prefill"]
    more = {"capacity": 4, "dtype": np.float16, "layers": 1, "head": True}
    with pytest.raises(meshlang.MeshlangError):  # no piece less
        llama.Placement(BIG, 16, 16, prompt=place.prompt, pieces=place.pieces - 1, **more)
    most = streamed["most_tokens"]
    fit.place(BIG, 16, 16, tokens=most, dtype=np.float16)
    with pytest.raises(meshlang.MeshlangError):
        fit.place(BIG, 16, 16, tokens=most + 1, dtype=np.float16)


def test_small_models_are_resident_with_all_of_their_prompt():
    config = llama.LlamaConfig(hidden_size=32, heads=4, kv_heads=2, head_size=8, feed_forward_size=48, layers=2)
    place = fit.place(config, 4, 4, tokens=40, prompt=30, dtype=np.float16)
    assert (place.layers, place.prompt, place.pieces, place.capacity) == (2, 29, 1, 10)
    assert fit.place(config, 4, 1, tokens=4, prompt=4, dtype=np.float16).prompt == 0
