"""<llm/decoder> through programs/decoder against a float64 model: any heads, any mesh, both types, both caches, both
pairings."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

import meshlang
from meshlang import llama, llama_reference

LAYOUT = Path(__file__).resolve().parents[2] / "programs/decoder/layout.csl"
SMALL = llama.LlamaConfig(hidden_size=32, heads=4, kv_heads=2, head_size=8, feed_forward_size=48)


class Mesh:
    """A model on the mesh, and the reference beside it."""

    def __init__(self, config, H, W, *, capacity=8, dtype=np.float32, arch="wse3", tree=True, seed=1, **more):
        self.config, self.dtype = config, dtype
        self.place = llama.Placement(config, H, W, capacity=capacity, dtype=dtype, **more)
        self.weights = config.random_weights(seed, dtype)
        self.reference = llama_reference.Reference(config, self.weights)
        self.program = meshlang.compile(LAYOUT, arch=arch, params=self.place.params(tree))
        self.fabric = self.program.start().__enter__()
        for name, array in self.place.weights(self.weights).items():
            self.fabric.write(name, array)
        self.rng = np.random.default_rng(seed)
        self.tokens = 0

    def step(self):
        """One token: the largest error relative to the largest element."""
        x = self.rng.uniform(-1, 1, self.config.hidden_size).astype(self.dtype)
        self.fabric.write("x", self.place.hidden_vector(x))
        for name, table in zip(("cos", "sin"), self.place.rotary(self.tokens), strict=True):
            self.fabric.write(name, table)
        self.fabric.launch("decode", self.tokens)
        self.tokens += 1
        rows = self.fabric.read("x", count=self.place.hidden)
        assert (rows == rows[:, :1]).all()
        self.hidden = self.reference.decode(x[None])
        return np.abs(self.place.collect_hidden(rows) - self.hidden[0]).max() / np.abs(self.hidden).max()

    def loads(self):
        return self.fabric.read("loads", count=1)[:, 0, 0].tolist()

    def bound(self):
        return llama.tolerance(self.config, self.dtype)


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("H, W", [(2, 2), (4, 4), (3, 5), (8, 2)])
def test_meshes(H, W, dtype, arch):
    mesh = Mesh(SMALL, H, W, dtype=dtype, arch=arch)
    for _ in range(2 * H + 1):
        assert mesh.step() <= mesh.bound()


@settings(max_examples=8, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(data=st.data())
def test_any_heads(data):
    draw = data.draw
    kv = draw(st.integers(1, 5))
    config = llama.LlamaConfig(
        hidden_size=draw(st.integers(4, 40)),
        heads=kv * draw(st.integers(1, 3)),
        kv_heads=kv,
        head_size=2 * draw(st.integers(1, 6)),
        feed_forward_size=draw(st.integers(4, 40)),
        layers=draw(st.integers(1, 2)),
        interleaved=draw(st.booleans()),
    )
    shift = draw(st.booleans())
    H, W = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    arch, tree = draw(st.sampled_from(["wse2", "wse3"])), draw(st.booleans())
    dtype, seed = draw(st.sampled_from([np.float32, np.float16])), draw(st.integers(0, 99))
    try:
        mesh = Mesh(config, H, W, shift=shift, arch=arch, tree=tree, dtype=dtype, seed=seed)
    except meshlang.MeshlangError as refused:
        assume(refused.diagnostics[0].code != "MS0992")  # too much for a PE's memory
        raise
    for _ in range(5):
        assert mesh.step() <= mesh.bound()


@pytest.mark.parametrize("H, W", [(16, 16), (8, 16), (16, 5)])
def test_large_meshes(H, W):
    config = llama.LlamaConfig(hidden_size=128, heads=8, kv_heads=4, head_size=16, feed_forward_size=256, layers=2)
    mesh = Mesh(config, H, W, dtype=np.float16, capacity=2)
    for _ in range(3):
        assert mesh.step() <= mesh.bound()


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_cache_forms(arch):
    """Both until they are full: shift keeps the rows balanced and holds H times as much."""
    for shift in (True, False):
        mesh = Mesh(SMALL, 4, 2, capacity=3, shift=shift, arch=arch)
        for token in range(mesh.place.tokens()):
            assert mesh.step() <= mesh.bound()
            loads = mesh.loads()
            assert sum(loads) == token + 1
            assert max(loads) - min(loads) <= 1 if shift else loads[:-1] == [0, 0, 0]
        assert mesh.tokens == (12 if shift else 3) and mesh.place.load().tolist() == mesh.loads()
        with pytest.raises(meshlang.MeshlangError):  # the PE notices too
            mesh.step()


def test_head():
    config = llama.LlamaConfig(hidden_size=24, heads=2, kv_heads=1, head_size=12, feed_forward_size=30, vocabulary=50)
    mesh = Mesh(config, 3, 4, head=True)
    for _ in range(3):
        mesh.step()
        logits = mesh.place.collect_logits(mesh.fabric.read("logits", count=mesh.place.vocabulary))
        want = mesh.reference.logits(mesh.hidden)[0]
        assert np.abs(logits - want).max() <= mesh.bound() * np.abs(want).max()


def test_large_scores():
    """Scores far beyond what exp can take in f16: the softmax subtracts the largest of the whole column first."""
    mesh = Mesh(SMALL, 4, 2, dtype=np.float16)
    weights = dict(mesh.weights)
    for name in ("q", "k"):
        weights[f"model.layers.0.self_attn.{name}_proj.weight"] = mesh.weights[
            f"model.layers.0.self_attn.{name}_proj.weight"
        ] * np.float16(8)
    mesh.reference = llama_reference.Reference(SMALL, weights)
    for name, array in mesh.place.weights(weights).items():
        mesh.fabric.write(name, array)
    for _ in range(8):
        # a score's rounding error grows with the score, and the weight's with it
        assert mesh.step() <= 8 * mesh.bound()


@pytest.mark.skipif(
    not os.environ.get("MESHLANG_LARGE"), reason="set MESHLANG_LARGE=1 to run decoder layers on 32 x 32 and 64 x 64 PEs"
)
@pytest.mark.parametrize("P, sizes", [(32, (1024, 16, 4, 64, 2816)), (64, (2048, 32, 4, 64, 5632))])
def test_large(P, sizes):
    """The second one is a layer of TinyLlama 1.1B."""
    config = llama.LlamaConfig(
        **dict(zip(("hidden_size", "heads", "kv_heads", "head_size", "feed_forward_size"), sizes, strict=True))
    )
    mesh = Mesh(config, P, P, dtype=np.float16, capacity=4)
    for _ in range(2):
        assert mesh.step() <= mesh.bound()
