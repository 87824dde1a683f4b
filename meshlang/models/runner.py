"""A model running on a mesh: a sequence of tokens goes in, logits come out.

The host keeps the embedding table, writes the weights, and carries the hidden vector's beginning and the logits; all
layers, the final norm and the output projection are computed on the mesh (<llm/model>). With all layers resident the
weights are written once. Streamed, the PEs hold one layer at a time: the host writes its weights and cache before a
launch and keeps the cache after it; the hidden vector stays on the mesh. As a pipeline, each layer and each piece of the
output projection has a fabric of its own, on which its weights and its cache stay, and the host passes the hidden
vectors on from one to the next.
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

    def has_settled(self) -> bool:
        """Resident weights can be written where decoding wants them, too, although the placement has a prefill."""
        return False

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

    def has_settled(self) -> bool:
        return True

    def write_head(self, fabric: FabricHandle, piece: int) -> None:
        for name, array in self.place.head_weights(self.weights, piece):
            fabric.write(name, array)

    def embeddings(self, tokens: Sequence[int] | slice) -> np.ndarray:
        name, scale = "model.embed_tokens.weight", self.place.config.embedding_scale
        rows = rows_of(self.weights, name, tokens if isinstance(tokens, slice) else np.asarray(tokens))
        return self.place.converted(name, rows if scale == 1 else rows.astype(np.float64) * scale)


class Runner:
    """One sequence on one fabric, or as many as `place` has in a batch, which have as many tokens as each other. place:
    where the model goes; with one layer of several it is streamed, or a pipeline. weights: by name, or a store. program:
    the placement's, if it has been compiled.

    routes: of a model with experts, for each token the experts that every layer has chosen: int [layers, batch, chosen].
    cycles: of the prefill and the hand-over, and of each token decoded (the slowest PE's, without what the host moves). What
    the fabrics of a pipeline do at the same time counts once; its layers come one after the other.
    """

    def __init__(
        self,
        place: Placement,
        weights: Mapping[str, Any] | Store,
        arch: str | None = None,
        profile: str | None = None,
        program: api.CompiledProgram | None = None,
        pipeline: bool = False,
    ):
        self.place, self.config = place, place.config
        partial = place.layers < place.config.layers
        if partial and place.layers != 1:
            raise model_error(
                "MS0991",
                f"{place.layers} of {place.config.layers} layers are placed: all can be resident, or one streamed",
            )
        if pipeline and (not partial or place.batch > 1):
            raise model_error("MS0991", "a pipeline has one of several layers on each fabric, and one sequence")
        self.streamed, self.pipeline = partial and not pipeline, pipeline
        self.store = weights if isinstance(weights, Store) else Weights(place, weights)
        self.program = program or api.compile(MODEL, arch=arch, params=place.model_params())
        count = place.config.layers + place.pieces if pipeline else 1
        self.fabrics = [self.program.start(profile) for _ in range(count)]
        self.fabric = self.fabrics[0]
        # those with layers; of a pipeline the others have a piece of the output projection each
        self._layered = self.fabrics[: place.config.layers] if pipeline else self.fabrics
        self.restart()
        self.store.write_model(self.fabric)
        if pipeline:
            self._write_pipeline()

    def _write_pipeline(self) -> None:
        layers = self.config.layers
        for layer, fabric in enumerate(self._layered):
            stage(f"writing the weights of layer {layer + 1} of {layers}")
            self.store.write_layer(fabric, layer, settled=self.place.prompt == 0)
        for piece, fabric in enumerate(self.fabrics[layers:]):
            stage(f"writing the output projection: piece {piece + 1} of {self.place.pieces}")
            self.store.write_head(fabric, piece)

    def restart(self) -> None:
        """A new sequence, on a machine that is as it was after loading (the caller has put it back)."""
        self.tokens = 0  # in the cache
        self.prefilled = 0  # of them, by a prefill
        self.prefill_cycles = 0
        self.settle_cycles = 0
        self.decode_cycles: list[int] = []
        self.routes: list[np.ndarray] = []
        self._cached: list[dict[str, np.ndarray]] = [{} for _ in range(self.config.layers)]
        self._settled = False
        self._told = False
        self._first = 0  # tokens that the cache was told of; the others it took one by one

    # ------------------------------------------------------------ what a caller does

    def feed(self, tokens: Sequence[int]) -> np.ndarray:
        """The next tokens of the sequence: the logits after the last one. All but the last are prefilled in chunks, as long as
        the placement has room for; behind others only while there is a token for each row, else they are decoded. MS1422
        for no tokens, or one that the model does not have; MS0993 if they do not fit."""
        assert self.place.batch == 1
        tokens = list(tokens)
        self._check(tokens)
        length = self.tokens + len(tokens)
        first = min(len(tokens) - 1, self.place.prompt) if self.tokens == 0 else 0
        self.place.check_tokens(length, first if self.tokens == 0 else self._first)
        self._prefill(tokens[:first], length)
        rest = tokens[first:-1]
        while self.place.prompt and len(rest) >= self.place.height:
            self._extend(rest[: self.place.prompt], length)
            rest = rest[self.place.prompt :]
        self._settle()
        for token in rest:
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
        self._settle()
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
            if self.streamed:
                arrays.append(self._cached[layer])
            else:
                arrays.append(self._cache(self._selected(layer)))
        keys, values = (np.stack([a[name] for a in arrays]) for name in ("keys", "values"))
        return collect(self.place, keys, values, self._first, self.tokens)

    def restore(self, kv: KeyValues) -> None:
        """Begin with a sequence whose keys and values are known, of another runner of the same model: `feed` goes on behind its
        tokens. MS0993 if they do not fit, MS1435 for what cannot be moved."""
        assert not self._settled and kv.keys.shape[0] == self.config.layers
        place, n = self.place, kv.tokens
        place.check_tokens(n, n)
        for layer, (keys, values) in enumerate(zip(*spread(place, kv))):
            if self.streamed:
                self._cached[layer] = {"keys": keys, "values": values}
                continue
            fabric = self._selected(layer)
            fabric.write("keys", keys)
            fabric.write("values", values)
        self.tokens = self._first = n
        self._settle()

    # ------------------------------------------------------------ steps

    def _prefill(self, tokens: list[int], length: int) -> None:
        """The first tokens of a sequence; there may be none."""
        if tokens:
            self._chunk(tokens, length, "prefill", len(tokens))
            self._first = len(tokens)

    def _extend(self, tokens: list[int], length: int) -> None:
        """A prefill behind other tokens."""
        if self._settled and not self.streamed:
            stage("turning the weights to where a prefill has them")
            self.settle_cycles += max(self._launch(fabric, "unsettle") for fabric in self._layered)
        self._settled = False
        for fabric in self._layered:
            if not self._told:
                fabric.launch("hold", self.tokens)
            fabric.launch("mark")
        self._told = True
        self._chunk(tokens, length, "extend", self.tokens, len(tokens))

    def _chunk(self, tokens: list[int], length: int, name: str, *arguments: int) -> None:
        n, place = len(tokens), self.place
        self.fabric.write("prompt", place.prompt_vectors(self.store.embeddings(tokens)))
        self._write_all(("prompt_cos", "prompt_sin"), place.prompt_rotary(n, length, self.tokens))
        routes = []
        for layer in self._layers():
            stage(f"prefill of {n} tokens{self._which(layer)}")
            fabric = self._bring(layer, "prompt", place.prompt_elements)
            if self.streamed:
                self._write_layer(layer, settled=False)
            self.prefill_cycles += self._launch(fabric, name, *arguments)
            if self.streamed:
                self._cached[layer] = self._cache(fabric)
            if self.config.experts:
                routes.append(self._prompt_routes(fabric, n))
        if routes:
            self.routes += [token[:, None] for token in np.concatenate(routes, 1)]
        self.tokens += n
        self.prefilled += n

    def _settle(self) -> None:
        """Make the fabric ready to decode behind the tokens that there are: resident weights are turned back from where a
        prefill has them, or, if nothing was prefilled, written where decoding wants them."""
        if self._settled:
            return
        rewritten = not self.prefilled and self.store.has_settled()
        if self.streamed or not self.place.prompt or rewritten:
            if rewritten and self.place.prompt and not self.streamed:
                for layer in range(self.config.layers):
                    self.store.write_layer(self._selected(layer), layer, settled=True)
            for fabric in self._layered:
                fabric.launch("start", self.tokens)
        else:
            stage("turning the weights back")
            self.settle_cycles += max(self._launch(fabric, "settle", self.tokens) for fabric in self._layered)
        self._settled = self._told = True

    def _decode(self, tokens: list[int], length: int, logits: bool = True) -> np.ndarray:
        """The next token of each sequence."""
        place = self.place
        elements = place.batch * place.hidden
        self.fabric.write("x", place.hidden_vector(self.store.embeddings(tokens)))
        self._write_all(("cos", "sin"), place.rotary(self.tokens, length))
        cycles = max(self._launch(fabric, "plan", self.tokens) for fabric in self._layered)
        routes = []
        for layer in self._layers():
            stage(f"token {self.tokens + 1}{self._which(layer)}")
            fabric = self._bring(layer, "x", elements)
            if self.streamed:
                self._write_layer(layer, settled=True)
            cycles += self._launch(fabric, "layer")
            if self.streamed:
                self._cached[layer] = self._cache(fabric)
            if self.config.experts:
                routes.append(self._routes(fabric))
        if routes:
            self.routes.append(np.concatenate(routes))
        self.tokens += 1
        out = np.zeros(0, np.float32 if place.f32_sums else place.dtype)
        if logits:
            out, taken = self._project(elements)
            cycles += taken
        self.decode_cycles.append(cycles)
        return out

    def _project(self, elements: int) -> tuple[np.ndarray, int]:
        """The logits, and how many cycles they took."""
        place, pieces, cycles = self.place, [], []
        for piece in range(place.pieces):
            fabric = self.fabric
            if place.pieces > 1:
                stage(f"token {self.tokens}: output projection, piece {piece + 1} of {place.pieces}")
            if self.pipeline:
                fabric = self.fabrics[self.config.layers + piece]
                fabric.write("x", self._layered[-1].read("x", count=elements))
            elif not place.head_stays:
                self.store.write_head(fabric, piece)
            cycles.append(self._launch(fabric, "project"))
            pieces.append(place.collect_logits(fabric.read("logits", count=place.batch * place.vocabulary), piece))
        return np.concatenate(pieces, -1), max(cycles) if self.pipeline else sum(cycles)

    # ------------------------------------------------------------ the host's side

    def _layers(self) -> Iterator[int]:
        """What is launched one after the other: each layer, or all at once."""
        return iter(range(self.config.layers if self.streamed or self.pipeline else 1))

    def _which(self, layer: int) -> str:
        return f": layer {layer + 1} of {self.config.layers}" if self.streamed or self.pipeline else ""

    def _selected(self, layer: int) -> FabricHandle:
        """The fabric on which a layer is, whose symbols are that layer's."""
        if self.pipeline:
            return self._layered[layer]
        self.fabric.launch("select", layer)
        return self.fabric

    def _bring(self, layer: int, symbol: str, count: int) -> FabricHandle:
        """The fabric that a layer is launched on, with what the layer before it has left."""
        if not self.pipeline:
            return self.fabric
        if layer:
            self._layered[layer].write(symbol, self._layered[layer - 1].read(symbol, count=count))
        return self._layered[layer]

    def _write_all(self, names: Sequence[str], arrays: Sequence[np.ndarray]) -> None:
        for fabric in self._layered:
            for name, array in zip(names, arrays):
                fabric.write(name, array)

    def _launch(self, fabric: FabricHandle, name: str, *arguments: int) -> int:
        """Cycles of the slowest PE."""
        fabric.launch(name, *arguments)
        ticks = fabric.read("ticks", count=6).astype(np.int64)
        return int(((ticks[..., 3:] - ticks[..., :3]) @ [1, 1 << 16, 1 << 32]).max())

    def _routes(self, fabric: FabricHandle) -> np.ndarray:
        experts = self.config.experts
        assert experts is not None
        shape = self.place.layers, self.place.batch, experts.chosen
        return fabric.read("routes", count=math.prod(shape))[0, 0].reshape(shape).astype(np.int64)

    def _prompt_routes(self, fabric: FabricHandle, tokens: int) -> np.ndarray:
        """[tokens, layers, chosen] of the layers on a fabric."""
        experts = self.config.experts
        assert experts is not None
        count = self.place.layers * self.place.prompt_rows * experts.chosen
        return self.place.collect_routes(fabric.read("prompt_routes", count=count)[:, 0], tokens)

    def _write_layer(self, layer: int, settled: bool) -> None:
        self.store.write_layer(self.fabric, layer, settled)
        for name, array in self._cached[layer].items():
            self.fabric.write(name, array)

    def _cache(self, fabric: FabricHandle) -> dict[str, np.ndarray]:
        """Keys and values of the layer that is on the PEs."""
        n = self.place.batch * self.place.kv_elements * self.place.capacity
        return {name: fabric.read(name, count=n) for name in ("keys", "values")}
