"""Hugging Face folders: what is read from them, and what is said about those that are wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest
from checkpoints import CONFIG, write_model, write_safetensors

import meshlang
from meshlang import llama
from meshlang.cli import main
from meshlang.models.checkpoint import Checkpoint


def refusal(folder):
    with pytest.raises(meshlang.MeshlangError) as found:
        checkpoint = Checkpoint(folder)
        llama.Placement(checkpoint.config, 4, 4, capacity=4, head=True).weights(checkpoint)
    return found.value.diagnostics[0].code, found.value.diagnostics[0].message


@pytest.mark.parametrize("kind", ["F64", "F32", "F16", "BF16"])
@pytest.mark.parametrize("shards", [1, 3])
def test_weights_are_those_of_the_files(tmp_path, kind, shards):
    weights = write_model(tmp_path, kind, shards)
    checkpoint = Checkpoint(tmp_path)
    assert set(checkpoint) == set(weights) and len(checkpoint) == len(weights)
    for name, want in weights.items():
        assert np.array_equal(checkpoint[name], want), name
        assert np.array_equal(checkpoint.rows(name, [1, 0]), want[[1, 0]])
    assert checkpoint.types() == {kind: sum(w.size for w in weights.values()) * {"F64": 8, "F32": 4}.get(kind, 2)}


def test_bfloat16_is_exact(tmp_path):
    """Every bfloat16 number, subnormal ones included, is the float32 with the same upper half."""
    bits = np.arange(1 << 16, dtype=np.uint32)
    values = (bits << 16).view(np.float32)
    values = values[np.isfinite(values)]
    table = np.resize(values, (2040, 32))
    write_model(tmp_path, "BF16", vocab_size=2040)
    weights = dict(Checkpoint(tmp_path))
    write_model(tmp_path, "BF16", vocab_size=2040, weights=weights | {"model.embed_tokens.weight": table})
    got = Checkpoint(tmp_path)["model.embed_tokens.weight"]
    assert got.dtype == np.float32 and np.array_equal(got.view(np.uint32), table.view(np.uint32))


def test_tensors_are_mapped_and_not_read(tmp_path):
    """A file with a hole where the weights are: nothing of it is in memory until it is asked for."""
    sizes = {"hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336}
    values = CONFIG | sizes | {"num_hidden_layers": 1, "vocab_size": 128256}
    (tmp_path / "config.json").write_text(json.dumps(values))
    header, at = {}, 0
    for name, shape in llama.LlamaConfig.from_dict(values).shapes().items():
        n = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + n]}
        at += n
    text = json.dumps(header).encode()
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + at)
    checkpoint = Checkpoint(tmp_path)
    assert checkpoint.types() == {"BF16": at} and at > 2.4e9
    assert not checkpoint.rows("model.embed_tokens.weight", [128255, 0]).any()


@pytest.mark.parametrize("field, value, want", [("eos_token_id", [2, 5], {2, 5}), ("eos_token_id", None, set())])
def test_end_tokens(tmp_path, field, value, want):
    write_model(tmp_path, **{field: value})
    assert Checkpoint(tmp_path).end_tokens() == want
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": 7}))
    assert Checkpoint(tmp_path).end_tokens() == {7}


# ---------------------------------------------------------------- wrong folders


def rewrite(folder, change):
    """Change the header of the weights' file, or its bytes."""
    file = folder / "model.safetensors"
    data = file.read_bytes()
    n = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + n])
    change(header)
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + n :])


def entry(name, **more):
    return lambda folder: rewrite(folder, lambda header: header[name].update(more))


def without(name):
    return lambda folder: rewrite(folder, lambda header: header.pop(name))


def cut(n):
    def change(folder):
        file = folder / "model.safetensors"
        file.write_bytes(file.read_bytes()[:n])

    return change


def config(**more):
    def change(folder):
        values = json.loads((folder / "config.json").read_text()) | more
        (folder / "config.json").write_text(json.dumps(values))

    return change


def weight(name, value):
    def change(folder):
        weights = dict(Checkpoint(folder))
        weights[name] = weights[name].copy()
        weights[name].flat[1] = value
        write_safetensors(folder / "model.safetensors", weights)

    return change


def index(weight_map, files=()):
    def change(folder):
        for file in files:
            write_safetensors(folder / file, {"model.norm.weight": np.ones(32)})
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))

    return change


K, NORM = "model.layers.0.self_attn.k_proj.weight", "model.norm.weight"


@pytest.mark.parametrize(
    "change, code, message",
    [
        (lambda f: (f / "config.json").unlink(), "MS1410", "has no config.json"),
        (lambda f: (f / "config.json").write_text("{"), "MS0990", "is not JSON"),
        (config(model_type="granite"), "MS1400", "models of type 'granite' are not supported"),
        (config(num_hidden_layers=3), "MS0994", "the weights have no 'model.layers.2.input_layernorm.weight'"),
        (config(num_hidden_layers=1), "MS1401", "nothing takes the weights 'model.layers.1."),
        (config(tie_word_embeddings=True), "MS1401", "'lm_head.weight', which is not the embedding table"),
        (lambda f: (f / "model.safetensors").unlink(), "MS1410", "has no safetensors file"),
        (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "MS1410", "has no safetensors file"),
        (cut(5), "MS1411", "it has 5 bytes"),
        (cut(300), "MS1411", "it has 300 bytes, and a header of"),
        (cut(-1), "MS1411", "ends 1 bytes behind the end of the file"),
        (lambda f: (f / "model.safetensors").write_bytes(bytes([2] + [0] * 7) + b"{]"), "MS1411", "its header is not JSON"),
        (lambda f: (f / "model.safetensors").write_bytes(bytes([2] + [0] * 7) + b"[]"), "MS1411", "is no JSON object"),
        (entry(K, dtype="I8"), "MS1412", f"'{K}' in model.safetensors has elements of type I8"),
        (entry(K, dtype="F8_E4M3"), "MS1412", "has elements of type F8_E4M3"),
        (entry(K, shape=[32, 16]), "MS0994", f"'{K}' has shape [32, 16], but the configuration says [16, 32]"),
        (entry(K, shape=[16, 33]), "MS1411", "of shape [16, 33] takes 2,112 bytes, and has 2,048"),
        (entry(K, shape="16"), "MS1411", f"the entry of '{K}' has no type, shape and place"),
        (entry(K, data_offsets=[0, 2048]), "MS1411", "lie over each other"),
        (without(NORM), "MS0994", "the weights have no 'model.norm.weight'"),
        (weight(K, np.nan), "MS1402", f"'{K}' has 1 elements that are no finite numbers"),
        (weight(K, -70000.0), "MS1402", f"'{K}' has elements up to 70000, which float16 cannot hold"),
        (weight("lm_head.weight", 1e5), "MS1402", "'lm_head.weight' has elements up to 100000"),
        (index({"a": "b.safetensors"}), "MS1413", "names the file 'b.safetensors', which is not in"),
        (index({"a": "../model.safetensors"}), "MS1413", "names the file '../model.safetensors'"),
        (index({NORM: "n.safetensors", K: "n.safetensors"}, ["n.safetensors"]), "MS1413", f"says that '{K}' is in n.saf"),
        (index({K: "n.safetensors"}, ["n.safetensors"]), "MS1413", "which is not said by"),
        (index({NORM: "n.safetensors", "x": "o.safetensors"}, ["n.safetensors", "o.safetensors"]), "MS1413", "norm"),
        (index([]), "MS1411", "has no weight_map"),
        (lambda f: write_safetensors(f / "second.safetensors", {}), "MS1413", "has 2 safetensors files and no"),
    ],
)  # fmt: skip
def test_wrong_folders(tmp_path, change, code, message):
    write_model(tmp_path)
    change(tmp_path)
    found = refusal(tmp_path)
    assert found[0] == code and message in found[1], found


def test_no_folder(tmp_path):
    assert refusal(tmp_path / "none")[0] == "MS1410"


@pytest.mark.parametrize("command", [["generate", "--tokens", "5"], ["info"], ["place", "-o", "m.wimg"]])
def test_a_mistyped_path_is_said_first(tmp_path, monkeypatch, capsys, command):
    """Not that an option is missing which the image that was meant would not have needed."""
    monkeypatch.chdir(tmp_path)
    assert main(["llm", *command, "model.wimg"]) == 1
    assert "error[MS1410]: model.wimg does not exist" in capsys.readouterr().err
