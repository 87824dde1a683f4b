"""A model running on a mesh: a sequence of tokens goes in, logits come out.

The host keeps the embedding table, writes the weights, and carries the hidden vector's beginning and the logits; all
layers, the final norm and the output projection are computed on the mesh (<llm/model>). With all layers resident the
weights are written once. Streamed, the PEs hold one layer at a time: the host writes its weights and cache before a
launch and keeps the cache after it; the hidden vector stays on the mesh.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from meshlang.host import api
from meshlang.host.api import FabricHandle
from meshlang.host.progress import stage

from .families import model_error
from .key_values import KeyValues, collect, spread
from .llama import MODEL, Placement, rows_of


class Store(ABC):
    """Where a runner's weights come from. What is written is on the PEs, for the placement that it belongs to."""

    @abstractmethod
    def write_model(self, fabric: FabricHandle) -> None:
        """All resident layers, on a fabric on which nothing has run yet; and the output projection, if it stays."""

    @abstractmethod
    def write_layer(self, fabric: FabricHandle, layer: int, settled: bool) -> None:
        """One layer of a streamed model. settled: where decoding wants it, else where a prefill does."""

    @abstractmethod
    def write_head(self, fabric: FabricHandle, piece: int) -> None:
        """The final norm and a piece of the output projection."""

    @abstractmethod
    def embeddings(self, tokens: Sequence[int]) -> np.ndarray:
        """[tokens, hidden_size], in the type of the mesh, as the first layer takes them."""


class Weights(Store):
    """Weights by their names in Hugging Face's form (a checkpoint, or arrays), placed as they are written."""

    def __init__(self, place: Placement, weights: Mapping[str, Any]):
        self.place, self.weights = place, weights
        place.config.check_names(weights)

    def write_model(self, fabric: FabricHandle) -> None:
        place = self.place
        if place.layers == place.config.layers:
            for layer in range(place.layers):
                stage(f"writing the weights of layer {layer + 1} of {place.layers}")
                fabric.launch("select", layer)
                self.write_layer(fabric, layer, settled=place.prompt == 0)
        if place.head_stays:
            self.write_head(fabric, 0)

    def write_layer(self, fabric: FabricHandle, layer: int, settled: bool) -> None:
        for name, array in self.place.layer_weights(self.weights, layer, settled):
            fabric.write(name, array)

    def write_head(self, fabric: FabricHandle, piece: int) -> None:
        for name, array in self.place.head_weights(self.weights, piece):
            fabric.write(name, array)

    def embeddings(self, tokens: Sequence[int] | slice) -> np.ndarray:
        name, scale = "model.embed_tokens.weight", self.place.config.embedding_scale
        rows = rows_of(self.weights, name, tokens if isinstance(tokens, slice) else np.asarray(tokens))
        return self.place.converted(name, rows if scale == 1 else rows.astype(np.float64) * scale)


class Runner:
    """One sequence on one fabric, or as many as `place` has in a batch, which have as many tokens as each other. place:
    where the model goes; with fewer layers than the model has it is streamed. weights: by name, or a store. program: the
    placement's, if it has been compiled.

    routes: of a model with experts, for each token decoded the experts that every layer has chosen: int [layers, batch,
    chosen].
    cycles: of the prefill and the hand-over, and of each token decoded (the slowest PE's, without what the host moves).
    """

    def __init__(
        self,
        place: Placement,
        weights: Mapping[str, Any] | Store,
        arch: str | None = None,
        profile: str | None = None,
        program: api.CompiledProgram | None = None,
    ):
        self.place, self.config = place, place.config
        self.streamed = place.layers < place.config.layers
        if self.streamed and place.layers != 1:
            raise model_error(
                "MS0991",
                f"{place.layers} of {place.config.layers} layers are placed: all can be resident, or one streamed",
            )
        self.store = weights if isinstance(weights, Store) else Weights(place, weights)
        self.program = program or api.compile(MODEL, arch=arch, params=place.model_params())
        self.fabric = self.program.start(profile)
        self.restart()
        self.store.write_model(self.fabric)

    def restart(self) -> None:
        """A new sequence, on a machine that is as it was after loading (the caller has put it back)."""
        self.tokens = 0  # in the cache
        self.prefill_cycles = 0
        self.settle_cycles = 0
        self.decode_cycles: list[int] = []
        self.routes: list[np.ndarray] = []
        self._cached: list[dict[str, np.ndarray]] = [{} for _ in range(self.config.layers)]
        self._settled = False
        self._first = 0  # tokens that the cache was told of; the others it took one by one

    # ------------------------------------------------------------ what a caller does

    def feed(self, tokens: Sequence[int]) -> np.ndarray:
        """The next tokens of the sequence: the logits after the last one. At the beginning of a sequence all but the last
        are prefilled, as far as the placement has room for them. MS1422 for no tokens, or one that the model does not
        have; MS0993 if they do not fit."""
        assert self.place.batch == 1
        tokens = list(tokens)
        self._check(tokens)
        length = self.tokens + len(tokens)
        prefilled = min(len(tokens) - 1, self.place.prompt) if self.tokens == 0 else 0
        self.place.check_tokens(length, prefilled if self.tokens == 0 else self._first)
        if not self._settled:
            self._begin(tokens[:prefilled], length)
        for token in tokens[prefilled:-1]:
            self._decode([token], length, logits=False)
        return self._decode(tokens[-1:], length)

    def feed_batch(self, sequences: Sequence[Sequence[int]]) -> np.ndarray:
        """The next tokens of each sequence of the batch, equally many: their logits, [batch, vocabulary]. MS1422 and MS0993
        as `feed`; MS1432 for sequences of different lengths, or another number of them."""
        lengths = sorted({len(tokens) for tokens in sequences})
        if len(sequences) != self.place.batch or len(lengths) != 1:
            raise model_error(
                "MS1432",
                f"a batch of {self.place.batch} goes on with as many tokens in each sequence, found {len(sequences)} sequences "
                f"with {' and '.join(map(str, lengths))} tokens",
            )
        for tokens in sequences:
            self._check(tokens)
        length = self.tokens + lengths[0]
        self.place.check_tokens(length)
        if not self._settled:
            self._begin([], length)
        columns = [list(column) for column in zip(*sequences)]
        for column in columns[:-1]:
            self._decode(column, length, logits=False)
        return self._decode(columns[-1], length).reshape(self.place.batch, -1)

    def _check(self, tokens: Sequence[int]) -> None:
        bad = [t for t in tokens if not 0 <= t < self.config.vocabulary]
        if not tokens or bad:
            raise model_error(
                "MS1422",
                f"token {bad[0]} is not one of the model's {self.config.vocabulary}"
                if bad
                else "there is no token to start from",
            )

    def key_values(self) -> KeyValues:
        """Those of all tokens so far. MS1435 for what cannot be moved."""
        arrays = []
        for layer in range(self.config.layers):
            if not self.streamed:
                self.fabric.launch("select", layer)
                self._keep(layer)
            arrays.append(self._cached[layer])
        keys, values = (np.stack([a[name] for a in arrays]) for name in ("keys", "values"))
        if not self.streamed:
            self._cached = [{} for _ in arrays]
        return collect(self.place, keys, values, self._first, self.tokens)

    def restore(self, kv: KeyValues) -> None:
        """Begin with a sequence whose keys and values are known, of another runner of the same model: `feed` goes on behind its
        tokens. MS0993 if they do not fit, MS1435 for what cannot be moved."""
        assert not self._settled and kv.keys.shape[0] == self.config.layers
        place, fabric, n = self.place, self.fabric, kv.tokens
        place.check_tokens(n, n)
        for layer, (keys, values) in enumerate(zip(*spread(place, kv))):
            if self.streamed:
                self._cached[layer] = {"keys": keys, "values": values}
                continue
            fabric.launch("select", layer)
            fabric.write("keys", keys)
            fabric.write("values", values)
        self._settle(n)

    # ------------------------------------------------------------ steps

    def _begin(self, tokens: list[int], length: int) -> None:
        n, place, fabric = len(tokens), self.place, self.fabric
        if n:
            fabric.write("prompt", place.prompt_vectors(self.store.embeddings(tokens)))
            for name, table in zip(("prompt_cos", "prompt_sin"), place.prompt_rotary(n, length)):
                fabric.write(name, table)
            for layer in self._layers():
                stage(f"prefill of {n} tokens{self._which(layer)}")
                if self.streamed:
                    self._write_layer(layer, settled=False)
                fabric.launch("prefill", n)
                self.prefill_cycles += self._clock()
                if self.streamed:
                    self._keep(layer)
        self._settle(n)

    def _settle(self, tokens: int) -> None:
        """Make the fabric ready to decode behind so many tokens; the weights are turned back from where a prefill has them."""
        if self.streamed or not self.place.prompt:
            self.fabric.launch("start", tokens)
        else:
            stage("turning the weights back")
            self.fabric.launch("settle", tokens)
            self.settle_cycles = self._clock()
        self.tokens = self._first = tokens
        self._settled = True

    def _decode(self, tokens: list[int], length: int, logits: bool = True) -> np.ndarray:
        """The next token of each sequence."""
        place, fabric = self.place, self.fabric
        fabric.write("x", place.hidden_vector(self.store.embeddings(tokens)))
        for name, table in zip(("cos", "sin"), place.rotary(self.tokens, length)):
            fabric.write(name, table)
        cycles = self._launch("plan", self.tokens)
        routes = []
        for layer in self._layers():
            stage(f"token {self.tokens + 1}{self._which(layer)}")
            if self.streamed:
                self._write_layer(layer, settled=True)
            cycles += self._launch("layer")
            if self.streamed:
                self._keep(layer)
            if self.config.experts:
                routes.append(self._routes())
        if routes:
            self.routes.append(np.concatenate(routes))
        self.tokens += 1
        out = np.zeros(0, place.dtype)
        if logits:
            pieces = []
            for piece in range(place.pieces):
                if place.pieces > 1:
                    stage(f"token {self.tokens}: output projection, piece {piece + 1} of {place.pieces}")
                if not place.head_stays:
                    self.store.write_head(fabric, piece)
                cycles += self._launch("project")
                pieces.append(place.collect_logits(fabric.read("logits", count=place.batch * place.vocabulary), piece))
            out = np.concatenate(pieces, -1)
        self.decode_cycles.append(cycles)
        return out

    # ------------------------------------------------------------ the host's side

    def _layers(self) -> Iterator[int]:
        """What is launched one after the other: each layer, or all at once."""
        return iter(range(self.config.layers if self.streamed else 1))

    def _which(self, layer: int) -> str:
        return f": layer {layer + 1} of {self.config.layers}" if self.streamed else ""

    def _launch(self, name: str, *arguments: int) -> int:
        self.fabric.launch(name, *arguments)
        return self._clock()

    def _clock(self) -> int:
        ticks = self.fabric.read("ticks", count=6).astype(np.int64)
        return int(((ticks[..., 3:] - ticks[..., :3]) @ [1, 1 << 16, 1 << 32]).max())

    def _routes(self) -> np.ndarray:
        experts = self.config.experts
        assert experts is not None
        shape = self.place.layers, self.place.batch, experts.chosen
        return self.fabric.read("routes", count=math.prod(shape))[0, 0].reshape(shape).astype(np.int64)

    def _write_layer(self, layer: int, settled: bool) -> None:
        self.store.write_layer(self.fabric, layer, settled)
        for name, array in self._cached[layer].items():
            self.fabric.write(name, array)

    def _keep(self, layer: int) -> None:
        """The cache of the layer that is on the PEs, for its next turn."""
        n = self.place.batch * self.place.kv_elements * self.place.capacity
        self._cached[layer] = {name: self.fabric.read(name, count=n) for name in ("keys", "values")}
