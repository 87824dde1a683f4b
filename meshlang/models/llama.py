"""Llama-like models on a mesh of PEs: where weights, vectors and caches go (what the model is: llama_config.py).

The decoder of <llm/decoder> splits the hidden vector over the rows of a mesh of H rows and W columns, and heads and
feed-forward elements over its columns. Mesh arrays are those of `FabricHandle.write` and `read`: [H, W, elements]. What
does not divide is padded with zeros, which stay zeros in every layer.

    config = llama.LlamaConfig.from_json("config.json")
    place = llama.Placement(config, height=8, width=8, capacity=16)
    program = meshlang.compile("programs/decoder", params=place.params())
    for name, array in place.each_weight(weights):
        fabric.write(name, array)

Weights are named and shaped as in Hugging Face's Llama (`model.layers.0.self_attn.q_proj.weight`, [outputs, inputs]).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from meshlang.diag import MeshlangError
from meshlang.ir.isa import PE_MEMORY
from meshlang.paths import stdlib_dir

from .experts import SHARED_GATE
from .llama_config import LlamaConfig, llama_error
from .placement import lcm_panels, panel_numbers, ring

__all__ = ["LlamaConfig", "Placement", "line_group", "tolerance"]

MODEL = stdlib_dir() / "llm/model/layout.csl"  # the program of a whole model
NEAR = 6  # PEs by which a rectangle that is advised may be smaller
VERSION = 2  # of where arrays go: raised when the same arguments place a model otherwise


def rows_of(weights: Mapping[str, Any], name: str, index: Any) -> np.ndarray:
    """Rows of a matrix; a checkpoint reads only these."""
    read = getattr(weights, "rows", None)
    return read(name, index) if read is not None else np.asarray(weights[name])[index]


def _split(total: int, parts: int) -> np.ndarray:
    """int [parts, ceil(total / parts)]: the elements of each part, -1 where it is padded."""
    n = -(-total // parts)
    index = np.arange(parts * n).reshape(parts, n)
    return np.where(index < total, index, -1)


def _take(matrix: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """[H, W, a, b]: PE (x, y) has matrix[rows[y, x], columns[x]] (rows [H, W, a], columns [W, b]; -1: zeros)."""
    padded = np.zeros((matrix.shape[0] + 1, matrix.shape[1] + 1), matrix.dtype)
    padded[:-1, :-1] = matrix
    return padded[rows[:, :, :, None], columns[None, :, None, :]]


class Placement:
    """Where a model goes on height x width PEs.

    capacity: tokens of the key-value cache on a PE. dtype: float16 or float32. layers: how many of the model's layers
    (all). shift: the cache's form. head: the final norm and the output projection are on the mesh too. prompt: the
    longest prompt that is prefilled, 0 if none; it takes at least 2 x 2 PEs. Then the hidden vector is cut into
    lcm(height, width) panels, the rows have theirs in the order of MeshGEMM's ring (`placement.ring`), and weights are
    placed for <llm/prefill>. pieces: of the output projection, of which a PE holds one at a time. regions: of a
    model with experts, blocks of columns, each with as many of the experts to itself; 1: all experts are spread over all
    columns (<llm/moe>). batch: sequences that are decoded at the same time, each with `capacity` tokens on a PE. advise: a
    refusal names a rectangle in which it would fit. f32_sums: products of f16, their sums along rows and columns, scores, softmax,
    SiLU and logits are f32 (with float32 they always are). With fewer layers than the model has and `head`, the output
    projection lies over a layer's matrices (`overlaid`): the host brings each in its turn. MS0991 for shapes that cannot
    be placed, MS0992 when a PE's memory is too small.
    """

    def __init__(
        self,
        config: LlamaConfig,
        height: int,
        width: int,
        *,
        capacity: int,
        dtype: Any = np.float16,
        layers: int | None = None,
        shift: bool = True,
        head: bool = False,
        prompt: int = 0,
        pieces: int = 1,
        regions: int = 1,
        batch: int = 1,
        advise: bool = True,
        f32_sums: bool = False,
    ):
        self.config, self.height, self.width = config, height, width
        self.capacity, self.shift, self.head = capacity, shift, head
        self.dtype = np.dtype(dtype)
        self.layers = config.layers if layers is None else layers
        if self.dtype not in (np.float16, np.float32):
            raise llama_error("MS0991", f"a model on the mesh is float16 or float32, not {self.dtype.name}")
        if height < 1 or width < 1 or capacity < 1 or not 1 <= self.layers <= config.layers:
            raise llama_error(
                "MS0991",
                f"{self.layers} of {config.layers} layers with {capacity} tokens per PE on {width} x {height} PEs: "
                "there must be at least one of each, and no more layers than the model has",
            )
        c = config
        # columns that share heads: with more columns than heads several columns have a part of each, else a column has
        # several heads
        self.kv_heads = -(-c.kv_heads // width)
        head_groups = -(-c.kv_heads // self.kv_heads)
        self.group = min(width // head_groups, c.head_size // 2)
        pairs = -(-(c.head_size // 2) // self.group)
        self.head_elements = 2 * pairs
        self.group = -(-(c.head_size // 2) // pairs)  # no more columns than have elements: their sums are as long
        self.regions, self.batch = regions, batch
        self.f32_sums = f32_sums and self.dtype == np.float16
        if self.f32_sums and c.experts:
            raise llama_error(
                "MS0991",
                "a model with experts has no sums of float32 with data of float16 yet",
                "leave the option out, or use float32",
            )
        if not isinstance(batch, int) or batch < 1:
            raise llama_error("MS1432", f"a batch has at least one sequence, found {batch!r}")
        if batch > 1 and prompt:
            raise llama_error(
                "MS1432",
                f"the prompts of {batch} sequences are not prefilled: they are decoded token by token",
                "place it with prompt=0",
            )
        self._check_regions()
        feeds = width // regions  # columns that share an expert, or the feed-forward layer
        self.feed = -(-c.feed_forward_size // feeds)
        self.shared = -(-c.experts.shared_size // width) if c.experts else 0
        self.pieces = pieces
        self.vocabulary = -(-c.vocabulary // (width * pieces))  # of a piece

        # the elements each column has: [W, kv_heads, queries, head_elements] of queries, [W, kv_heads, head_elements]
        # of keys and values
        x = np.arange(width)
        kv = (x // self.group)[:, None] * self.kv_heads + np.arange(self.kv_heads)
        kv = np.where((kv < c.kv_heads) & (x // self.group < head_groups)[:, None], kv, -1)
        pair = (x % self.group)[:, None] * pairs + np.arange(pairs)
        self.pairs = np.where(pair < c.head_size // 2, pair, -1)  # [W, pairs]
        a, b = c.pair(self.pairs)
        element = np.stack([a, b], 2).reshape(width, -1) if c.interleaved else np.concatenate([a, b], 1)
        valid = np.repeat(self.pairs >= 0, 2, 1) if c.interleaved else np.tile(self.pairs >= 0, 2)
        known = valid[:, None, :] & (kv >= 0)[:, :, None]
        self.kv_index = np.where(known, kv[:, :, None] * c.head_size + element[:, None, :], -1)
        q_head = kv[:, :, None] * c.queries + np.arange(c.queries)
        # of a head, the elements that a column has: [W, head_elements]
        self.element_index = np.where(valid & np.any(kv >= 0, axis=1, keepdims=True), element, -1)
        self.q_index = np.where(known[:, :, None, :], q_head[..., None] * c.head_size + element[:, None, None, :], -1)

        self.prompt = prompt
        if prompt and (height < 2 or width < 2):
            raise llama_error(
                "MS0991",
                f"a prefill needs a mesh of at least 2 x 2 PEs, whose rows and columns are rings; found {width} x {height}",
            )
        self.prompt_rows = -(-prompt // height)  # tokens of the prompt on a PE
        if self.prompt_rows > capacity:
            raise llama_error(
                "MS0993",
                f"a prompt of {prompt} tokens puts {self.prompt_rows} on a row, but a PE's cache holds {capacity}",
            )
        # panels of the hidden vector: all, those of a row while prefilling (columns have them then), those of a row's
        # weights
        count, self.across, self.down = lcm_panels(height, width) if prompt else (height, 1, 1)
        panels = _split(c.hidden_size, count)
        self.panel = panels.shape[1]
        self.hidden = self.down * self.panel
        if prompt:
            own = panels[(ring(height) * self.down)[:, None] + np.arange(self.down)]
            # [H, W, elements] of each PE while prefilling: of its tokens' hidden vectors, and of its weights' inputs or
            # outputs
            self.turned_index = panels[panel_numbers(height, width, self.across)].reshape(height, width, -1)
            self.turned_weights = panels[panel_numbers(height, width, self.down)].reshape(height, width, -1)
        else:
            own = panels
        self.hidden_index = own.reshape(height, -1)  # [H, hidden]: the elements of each row while decoding
        # [W, feed]: the elements of each column; columns that no region has, have none
        index = np.tile(_split(c.feed_forward_size, feeds), (regions, 1))
        self.feed_index = np.concatenate([index, np.full((width - len(index), self.feed), -1)])
        self.check_memory(advise)

    def arguments(self) -> dict[str, Any]:
        """What `Placement(config, ...)` makes the same placement of."""
        return {
            "height": self.height, "width": self.width, "capacity": self.capacity, "dtype": self.dtype.name, "layers": self.layers,
            "shift": self.shift, "head": self.head, "prompt": self.prompt, "pieces": self.pieces, "regions": self.regions,
            "batch": self.batch, "f32_sums": self.f32_sums,
        }  # fmt: skip

    def _check_regions(self) -> None:
        e, regions = self.config.experts, self.regions
        if regions == 1:
            return
        if e is None:
            raise llama_error("MS1431", f"{regions} regions for experts, but the model has none", "leave regions out")
        if not 1 <= regions <= self.width:
            raise llama_error(
                "MS1431",
                f"{self.width} columns cannot be {regions} regions, each of at least one column",
                f"1 to {min(self.width, e.count)} regions, a divisor of the number of experts",
            )
        if e.count % regions:
            fit = [r for r in range(1, min(self.width, e.count) + 1) if e.count % r == 0]
            raise llama_error(
                "MS1431",
                f"{e.count} experts do not divide among {regions} regions",
                f"numbers of regions that do: {', '.join(map(str, fit))}",
            )

    # ------------------------------------------------------------ sizes

    @property
    def region_experts(self) -> int:
        """Experts of which a column has a part, but for the shared one; 0 for a dense model."""
        return self.config.experts.count // self.regions if self.config.experts else 0

    @property
    def q_elements(self) -> int:
        """Elements of a token's queries on a PE."""
        return self.kv_heads * self.config.queries * self.head_elements

    @property
    def kv_elements(self) -> int:
        """Elements of a token's keys on a PE; as many of its values."""
        return self.kv_heads * self.head_elements

    @property
    def overlaid(self) -> bool:
        return self.head and self.layers == 1 < self.config.layers

    @property
    def head_stays(self) -> bool:
        """The output projection is written once, and not again for each token."""
        return self.pieces == 1 and not self.overlaid

    @property
    def _feeds(self) -> int:
        """Rows of the down projection on a PE, of all experts that it has a part of."""
        return self.region_experts * self.feed + self.shared if self.config.experts else self.feed

    def _matrices(self) -> int:
        """Elements of a layer's matrices on a PE, but for the router."""
        return self.hidden * (2 * self.q_elements + 2 * self.kv_elements + 3 * self._feeds)

    def memory(self) -> dict[str, int]:
        """Bytes a PE needs, by what for: the arrays of <llm/decoder>, <llm/head>, <llm/prefill> and what they use."""
        size, hidden, q, kv, n = self.dtype.itemsize, self.hidden, self.q_elements, self.kv_elements, self.head_elements
        heads, rows = self.kv_heads * self.config.queries, self.prompt_rows
        qkv, gate_up = q + 2 * kv, 2 * self.feed
        c, e = self.config, self.config.experts
        weights = self.layers * (2 * hidden + self._matrices())
        columns = c.qkv_bias * qkv + c.head_norms * 2 * n + c.wide_norms * (q + kv) + c.feed_bias * gate_up
        row_vectors = c.output_bias + c.feed_bias
        weights += self.layers * (columns + row_vectors * (hidden + (self.across * self.panel if rows else 0)))
        b = self.batch
        cache = self.layers * b * 2 * kv * self.capacity
        buffers = b * (2 * hidden + qkv + q + gate_up) + q + kv + 4 * kv + heads * (self.capacity + 1) + n
        longest = b * (e.chosen * self.feed + self.shared) if e else self.feed
        block = _vector_block(longest)
        singles = hidden + b - 1 + heads + block  # f32
        if c.wide_norms:
            singles += q + kv + 2
        if e:
            weights += self.layers * hidden * e.logits
            buffers += b * (3 * (min(e.chosen, self.region_experts) * self.feed + self.shared) - gate_up)
            # of logits and choice, and of all layers' routes: numbers and weights
            singles += b * e.logits + e.chosen + self.layers * b * 2 * e.chosen + (2 * b * e.chosen if b > 1 else 0)
            if size == 2:
                singles += _vector_block(e.chosen if e.renormalise else e.count)
        if c.head_norms:  # decoding, and prefilling
            singles += (n + b * (heads + self.kv_heads)) + ((n + rows * (heads + self.kv_heads)) if rows else 0)
        if self.head:
            piece = hidden * self.vocabulary
            weights += hidden + (max(piece - self._matrices(), 0) if self.overlaid else piece)
            buffers += b * (hidden + self.vocabulary)
            singles += hidden + b - 1
        if rows:
            across, panel, feeds = self.across, self.panel, self._feeds
            # of a token's feed-forward layer, and of the weights' (<llm/prefill>'s `active` and `feeds`)
            active = min(e.chosen, self.region_experts) * self.feed + self.shared if e else self.feed
            spare = panel * max(qkv, 2 * feeds, q)
            together = hidden * max(q, 2 * feeds if e else feeds) if self.down > 1 else 0
            weights += self.layers * 2 * across * panel
            buffers += rows * ((2 * across + 2) * panel + max(qkv, 2 * active) + max(q, active) + 4 * kv + n)
            buffers += max(spare, together) + q + kv + heads * rows * (rows + n + 2)
            singles += (
                heads * rows * (n + 2)
                + panel
                + rows
                + _vector_block(rows * (e.chosen * self.feed + self.shared) if e else self.feed)
            )
            if c.wide_norms:
                singles += q + kv + 2 * rows
            if e:
                weights += self.layers * across * panel * e.logits
                singles += rows * e.logits + e.chosen + 2 * rows * e.chosen
                singles += self.layers * 2 * rows * e.chosen + 2 * rows * min(e.chosen, self.region_experts)
                if size == 2:
                    singles += _vector_block(e.chosen if e.renormalise else e.count)
        if self.f32_sums:  # what is f32 in the place of an element, and what is there twice
            singles += b * max(qkv, hidden, gate_up) + heads * (self.capacity + n + 1)
            buffers -= b * self.feed
            if self.head:
                singles += b * self.vocabulary
                buffers -= b * self.vocabulary
            if rows:
                singles += rows * ((self.across + 2) * self.panel + max(qkv, gate_up) + heads * (rows + 1))
                buffers -= rows * self.panel
        scalars = 320 if rows else 256  # pointers, counters
        return {
            "weights": weights * size,
            # the order of slots, and where chunks of a prompt begin with the same one
            "cache": cache * size + 2 * self.capacity * (2 if rows else 1),
            "buffers": buffers * size + 4 * singles + scalars,
        }

    def free(self) -> int:
        """Bytes of a PE that are left."""
        return PE_MEMORY - sum(self.memory().values())

    def head_room(self) -> int:
        """Bytes that a larger piece of the output projection would have, and its logits."""
        over = self._matrices() - self.hidden * self.vocabulary if self.overlaid else 0
        return self.free() + self.dtype.itemsize * max(over, 0)

    def check_memory(self, advise: bool = True) -> None:
        """MS0992 if `memory` is more than a PE has."""
        need = self.memory()
        if sum(need.values()) > PE_MEMORY:
            sequences = f" of {self.batch} sequences" if self.batch > 1 else ""
            parts = ", ".join(f"{name} {n:,}" for name, n in need.items())
            raise llama_error(
                "MS0992",
                f"{self.layers} layer{'s' if self.layers > 1 else ''} with {self.capacity} tokens per PE{sequences} on "
                f"{self.width} x {self.height} PEs take {sum(need.values()):,} of a PE's {PE_MEMORY:,} bytes ({parts})",
                (advise and self._advice())
                or f"use a larger mesh, fewer layers, a smaller {'batch, a smaller ' if self.batch > 1 else ''}capacity or float16",
            )

    def _advice(self) -> str | None:
        """For a prefill, whose panels are smallest where the sides have a small common multiple: the largest rectangle a
        little smaller than this one in which as many tokens would fit."""
        if not self.prompt:
            return None
        for less in range(1, NEAR + 1):
            for height in range(self.height, self.height - less - 1, -1):
                width = self.width - less + (self.height - height)
                if min(height, width) < 2:
                    continue
                try:
                    Placement(
                        self.config, height, width, capacity=-(-self.capacity * self.height // height), dtype=self.dtype,
                        layers=self.layers, shift=self.shift, head=self.head, prompt=self.prompt, pieces=self.pieces,
                        regions=self.regions, batch=self.batch, advise=False, f32_sums=self.f32_sums,
                    )  # fmt: skip
                except MeshlangError:
                    continue
                return (
                    f"it would fit on {width} x {height} PEs: the hidden vector is cut into lcm({self.width}, {self.height}) = "
                    f"{math.lcm(self.height, self.width)} panels here, and into {math.lcm(height, width)} there"
                )
        return None

    def tokens(self) -> int:
        """How many tokens an empty cache takes: H times as many when it shifts as when it concatenates."""
        return self.capacity * (self.height if self.shift else 1)

    def check_tokens(self, tokens: int, prefilled: int = 0) -> None:
        """MS0993 if `tokens` tokens, the first `prefilled` of them spread over the rows, do not fit."""
        full = self.tokens() if self.shift else prefilled + self.capacity - -(-prefilled // self.height)
        if tokens > full:
            form = "shift" if self.shift else "concatenate"
            raise llama_error(
                "MS0993",
                f"the key-value cache is full: {tokens} tokens, but {self.capacity} per PE on {self.height} rows hold {full} ({form})",
                "a larger capacity or mesh" + ("" if self.shift else ", or the shift cache"),
            )

    def params(self, tree: bool = True) -> dict[str, Any]:
        """Parameters of the layout of programs/decoder, whose layers are Llama's (MS0991 for others). tree: how the lines
        are laid, see <llm/line_layout>."""
        self._check_plain()
        return self._decode_params(tree)

    def _decode_params(self, tree: bool) -> dict[str, Any]:
        size = line_group if tree else int
        return self._common_params(tree) | {
            "hidden": self.hidden, "shift": self.shift, "vocabulary": self.vocabulary if self.head else 0, "column_size": size(self.height),
        }  # fmt: skip

    def prefill_params(self, tree: bool = True) -> dict[str, Any]:
        """Parameters of the layout of programs/prefill, which does not decode. MS0991 as `params`."""
        self._check_plain()
        return self._common_params(tree)

    def model_params(self) -> dict[str, Any]:
        """Parameters of the program of a whole model, <llm/model>."""
        tree = not self.prompt  # a prefill takes the queues of the trees
        c = self.config
        return self._decode_params(tree) | ({} if self.prompt else {"panel": 0, "prompt_rows": 0}) | {
            # a window that no sequence can leave is none
            "window": c.window if c.window is not None and c.window < self.capacity * self.height else 0, "gelu": c.activation == "gelu",
            "qkv_bias": c.qkv_bias, "head_norms": c.head_norms, "output_bias": c.output_bias, "feed_bias": c.feed_bias,
            "head_size": c.head_size, "wide_norms": c.wide_norms, "q_total": c.heads * c.head_size, "kv_total": c.kv_heads * c.head_size,
            "regions": self.regions, "shared": self.shared, "batch": self.batch, "overlaid": self.overlaid,
            **({"experts": c.experts.count, "chosen": c.experts.chosen, "renormalise": c.experts.renormalise} if c.experts
               else {"experts": 0, "chosen": 0, "renormalise": False}),
        }  # fmt: skip

    def moe_params(self) -> dict[str, Any]:
        """Parameters of the layout of programs/moe, which has the experts of one layer."""
        names = (
            "W",
            "H",
            "f32_data",
            "batch",
            "hidden",
            "feed",
            "shared",
            "experts",
            "chosen",
            "renormalise",
            "regions",
            "row_size",
            "column_size",
        )
        params = self.model_params()
        return {name: params[name] for name in names}

    def _check_plain(self) -> None:
        more = self.config.beyond_llama()
        if more:
            raise llama_error(
                "MS0991",
                f"this program computes Llama's layers, and the model's have {' and '.join(more)}",
                "the program of a whole model, <llm/model>, does: meshlang llm generate",
            )

    def _common_params(self, tree: bool) -> dict[str, Any]:
        c, size = self.config, (line_group if tree else int)
        return {
            "W": self.width, "H": self.height, "f32_data": self.dtype == np.float32, "f32_sums": self.f32_sums, "layers": self.layers,
            "hidden_size": c.hidden_size, "epsilon": c.norm_epsilon, "kv_heads": self.kv_heads, "queries": c.queries,
            "head_elements": self.head_elements, "group": self.group, "head_scale": 1 / math.sqrt(c.head_size),
            "interleaved": c.interleaved, "feed": self.feed, "capacity": self.capacity,
            "row_size": self.group if self.group > 1 else size(self.width), "tree": tree,
        } | ({"panel": self.panel, "prompt_rows": self.prompt_rows} if self.prompt else {})  # fmt: skip

    # ------------------------------------------------------------ arrays

    def weights(self, weights: Mapping[str, Any], settled: bool = False) -> dict[str, np.ndarray]:
        """Symbol -> [H, W, elements]: norms, w_qkv, w_output, w_gate_up, w_down, all layers one after the other;
        final_norm, w_head with `head`; turned_norms with `prompt`. With `prompt` they are where <llm/prefill> wants
        them, or, `settled`, where it leaves them for <llm/decoder>.

        MS0994 for weights that are missing or have another shape than the configuration says, MS1401 for weights that
        nothing takes.
        """
        self.config.check_names(weights)
        parts: dict[str, list[np.ndarray]] = {}
        for i in range(self.layers):
            for name, array in self.layer_weights(weights, i, settled):
                parts.setdefault(name, []).append(array)
        out = {name: np.concatenate(arrays, 2) for name, arrays in parts.items()}
        if self.head:
            out |= dict(self.head_weights(weights))
        return out

    def each_weight(self, weights: Mapping[str, Any], settled: bool = False) -> Iterator[tuple[str, np.ndarray]]:
        """What `weights` returns, one array after the other: those of one layer do not stand side by side in the host's
        memory, which for a model of true size is half a gigabyte."""
        if self.layers != 1:
            yield from self.weights(weights, settled).items()
            return
        self.config.check_names(weights)
        yield from self.layer_weights(weights, 0, settled)
        if self.head:
            yield from self.head_weights(weights)

    def layer_weights(
        self, weights: Mapping[str, Any], layer: int, settled: bool = False
    ) -> Iterator[tuple[str, np.ndarray]]:
        """The arrays of one layer, one at a time (a large model's do not stand side by side in the host's memory)."""
        turned = self.prompt > 0 and not settled

        c = self.config

        def get(name: str, offset: float = 0.0, kind: str = "weight") -> np.ndarray:
            return self._weight(weights, f"model.layers.{layer}.{name}.{kind}", offset)

        norms = [get(name, c.norm_offset) for name in ("input_layernorm", "post_attention_layernorm")]
        yield "norms", np.concatenate([self.hidden_vector(n) for n in norms], 2)
        if self.prompt:
            yield "turned_norms", np.concatenate([self.turned_vector(n) for n in norms], 2)
        q, kv = self._flat_q(), self._flat_kv()
        yield (
            "w_qkv",
            self.stand_side_by_side([(get(f"self_attn.{n}_proj"), kv if n in "kv" else q) for n in "qkv"], turned),
        )
        yield "w_output", self.columns_to_rows(get("self_attn.o_proj"), q, turned)
        if c.experts:
            yield from self._expert_weights(get, turned)
        else:
            yield (
                "w_gate_up",
                self.stand_side_by_side([(get(f"mlp.{n}_proj"), self.feed_index) for n in ("gate", "up")], turned),
            )
            yield "w_down", self.columns_to_rows(get("mlp.down_proj"), self.feed_index, turned)

        # what other families have, in the order of <llm/extras>
        columns = []
        if c.qkv_bias:
            columns += [(get(f"self_attn.{n}_proj", kind="bias"), kv if n in "kv" else q) for n in "qkv"]
        if c.head_norms:
            columns += [(get(f"self_attn.{n}_norm"), self.element_index) for n in "qk"]
        if c.wide_norms:
            columns += [(get(f"self_attn.{n}_norm"), index) for n, index in (("q", q), ("k", kv))]
        if c.feed_bias:
            columns += [(get(f"mlp.{n}_proj", kind="bias"), self.feed_index) for n in ("gate", "up")]
        if columns:
            yield "column_extras", self._column_vectors(columns)
        rows = [get("self_attn.o_proj", kind="bias")] if c.output_bias else []
        rows += [get("mlp.down_proj", kind="bias")] if c.feed_bias else []
        if rows:
            yield "row_extras", np.concatenate([self.hidden_vector(v) for v in rows], 2)
            if self.prompt:
                yield "turned_extras", np.concatenate([self.turned_vector(v) for v in rows], 2)

    def _expert_weights(self, get: Callable[[str], np.ndarray], turned: bool) -> Iterator[tuple[str, np.ndarray]]:
        """Router, and the experts of each region one after the other, the shared one behind them; turned: a panel of all of them
        after the other."""
        e = self.config.experts
        assert e is not None
        router = np.concatenate([get(e.router)] + ([get(SHARED_GATE)] if e.shared_size else []))
        everywhere = np.broadcast_to(np.arange(e.logits), (self.width, e.logits))
        yield "w_router", self.stand_side_by_side([(router, everywhere)])
        if self.prompt:
            yield "turned_router", _take(router.T, self.turned_index, everywhere).reshape(self.height, self.width, -1)
        region = np.arange(self.width) // (self.width // self.regions)
        gate_up: list[np.ndarray] = []
        down: list[np.ndarray] = []

        def add(expert: int, index: np.ndarray, first: bool) -> None:
            gate, up, back = (get(name) for name in e.matrices(expert))
            parts = (
                self.stand_side_by_side([(gate, index), (up, index)], turned),
                self.columns_to_rows(back, index, turned),
            )
            for arrays, part in zip((gate_up, down), parts):
                part = part.reshape(self.height, self.width, self.down if turned else 1, -1)
                if first:
                    arrays.append(part)
                else:  # another region's
                    arrays[-1] += part

        for j in range(self.region_experts):
            for r in range(self.regions):
                add(r * self.region_experts + j, np.where((region == r)[:, None], self.feed_index, -1), r == 0)
        if e.shared_size:
            add(e.count, _split(e.shared_size, self.width), True)
        for name, arrays in (("w_gate_up", gate_up), ("w_down", down)):
            yield name, np.concatenate(arrays, 3).reshape(self.height, self.width, -1)

    def _column_vectors(self, vectors: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """[H, W, elements]: vectors, and which elements of each the columns have [W, n]; the same on every row."""
        parts = [np.append(v, self.dtype.type(0))[index] for v, index in vectors]
        row = np.concatenate(parts, 1)
        return np.ascontiguousarray(np.broadcast_to(row, (self.height, *row.shape)))

    def head_weights(self, weights: Mapping[str, Any], piece: int = 0) -> Iterator[tuple[str, np.ndarray]]:
        """The final norm and a piece of the output projection: of the tokens in `piece_tokens`."""
        if piece == 0:
            self._check_tied(weights)
        name = "model.embed_tokens.weight" if self.config.tied_embeddings else "lm_head.weight"
        yield "final_norm", self.hidden_vector(self._weight(weights, "model.norm.weight", self.config.norm_offset))
        tokens = self.piece_tokens(piece)
        rows = self.converted(name, rows_of(weights, name, slice(tokens.start, tokens.stop)))
        columns = _split(self.width * self.vocabulary, self.width)
        columns = np.where(columns < len(tokens), columns, -1)
        tiles = _take(rows.T, self.hidden_index[:, None].repeat(self.width, 1), columns)
        yield "w_head", tiles.reshape(self.height, self.width, -1)

    def _check_tied(self, weights: Mapping[str, Any]) -> None:
        if self.config.tied_embeddings and "lm_head.weight" in weights:
            if not np.array_equal(weights["lm_head.weight"], weights["model.embed_tokens.weight"]):
                raise llama_error(
                    "MS1401",
                    "nothing takes the weight 'lm_head.weight', which is not the embedding table",
                    "the configuration says that they are one (tie_word_embeddings)",
                )

    def piece_tokens(self, piece: int) -> range:
        """The part of the vocabulary that a piece of the output projection is for."""
        n = self.width * self.vocabulary
        return range(min(piece * n, self.config.vocabulary), min((piece + 1) * n, self.config.vocabulary))

    def _weight(self, weights: Mapping[str, Any], name: str, offset: float = 0.0) -> np.ndarray:
        shape = self.config.shapes()[name]
        if name not in weights:
            raise llama_error("MS0994", f"the weights have no {name!r}", f"expected an array of shape {list(shape)}")
        array = np.asarray(weights[name])
        if array.shape != shape:
            raise llama_error(
                "MS0994", f"{name!r} has shape {list(array.shape)}, but the configuration says {list(shape)}"
            )
        return self.converted(name, array.astype(np.float64) + offset if offset else array)

    def converted(self, name: str, array: np.ndarray) -> np.ndarray:
        """In the model's type. MS1402 for what is no finite number in it."""
        with np.errstate(over="ignore", invalid="ignore"):
            out = array.astype(self.dtype, copy=False)
        if not np.isfinite(out).all():
            finite = np.isfinite(array)
            if finite.all():
                value = float(np.abs(array).max())
                raise llama_error(
                    "MS1402",
                    f"{name!r} has elements up to {value:.6g}, which {self.dtype.name} cannot hold",
                    "use float32",
                )
            raise llama_error("MS1402", f"{name!r} has {int((~finite).sum())} elements that are no finite numbers")
        return out

    def _flat_q(self) -> np.ndarray:
        return self.q_index.reshape(self.width, -1)

    def _flat_kv(self) -> np.ndarray:
        return self.kv_index.reshape(self.width, -1)

    def _weight_rows(self, turned: bool) -> np.ndarray:
        """[H, W, hidden]: the hidden elements of each PE's weights."""
        return self.turned_weights if turned else self.hidden_index[:, None].repeat(self.width, 1)

    def stand_side_by_side(self, matrices: Sequence[tuple[np.ndarray, np.ndarray]], turned: bool = False) -> np.ndarray:
        """[H, W, hidden * n]: matrices [outputs, hidden] and which outputs each column has [W, n_i]; hidden over the
        rows."""
        rows = self._weight_rows(turned)
        widths = [index.shape[1] for _, index in matrices]
        out = np.empty((self.height, self.width, rows.shape[2], sum(widths)), self.dtype)
        for at, (matrix, index) in zip(np.cumsum([0, *widths]), matrices):
            out[..., at : at + index.shape[1]] = _take(matrix.T, rows, index)
        return out.reshape(self.height, self.width, -1)

    def columns_to_rows(self, matrix: np.ndarray, index: np.ndarray, turned: bool = False) -> np.ndarray:
        """[H, W, n * hidden]: a matrix [hidden, inputs], inputs over the columns [W, n], hidden over the rows; turned:
        a panel after the other."""
        tiles = _take(matrix, self._weight_rows(turned), index)  # [H, W, hidden, n]
        tiles = tiles.reshape(self.height, self.width, self.down if turned else 1, -1, index.shape[1])
        return np.ascontiguousarray(tiles.swapaxes(3, 4)).reshape(self.height, self.width, -1)

    def hidden_vector(self, vector: Any) -> np.ndarray:
        """[hidden_size] -> [H, W, hidden]: split over the rows, the same in every column. Several vectors, [n, hidden_size] ->
        [H, W, n * hidden], stand one after the other."""
        vectors = np.atleast_2d(np.asarray(vector, self.dtype))
        padded = np.pad(vectors, ((0, 0), (0, 1)))
        rows = padded[:, self.hidden_index].transpose(1, 0, 2).reshape(self.height, 1, -1)
        return np.ascontiguousarray(np.broadcast_to(rows, (self.height, self.width, rows.shape[2])))

    def collect_hidden(self, array: np.ndarray) -> np.ndarray:
        """[H, W, hidden] -> [hidden_size], from the first column."""
        out = np.zeros(self.config.hidden_size + 1, array.dtype)
        out[self.hidden_index] = array[:, 0]
        return out[:-1]

    def rotary(self, position: int, length: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """cos and sin of a position: [H, W, head_elements / 2] each, for the pairs each column has. length: as in
        `LlamaConfig.rotary`."""
        tables = self.config.rotary([position], length)
        out = []
        for table in tables:
            row = np.append(table[0], 0.0).astype(self.dtype)[self.pairs]
            out.append(np.ascontiguousarray(np.broadcast_to(row, (self.height, *row.shape))))
        return out[0], out[1]

    def collect_logits(self, array: np.ndarray, piece: int = 0) -> np.ndarray:
        """[H, W, batch * n] -> the logits of `piece_tokens`, from the first row; of a batch [batch, tokens]."""
        rows = array[0].reshape(self.width, self.batch, -1).swapaxes(0, 1).reshape(self.batch, -1)
        logits = rows[:, : len(self.piece_tokens(piece))]
        return logits if self.batch > 1 else logits[0]

    # ------------------------------------------------------------ prompts

    def prompt_tokens(self, tokens: int) -> list[range]:
        """The tokens of a prompt that each row has: consecutive ones, and one more on the last rows if they do not
        divide."""
        ends = np.cumsum([0, *((tokens + y) // self.height for y in range(self.height))])
        return [range(a, b) for a, b in zip(ends[:-1].tolist(), ends[1:].tolist())]

    @property
    def prompt_elements(self) -> int:
        """Elements of a prompt's hidden vectors on a PE."""
        return self.across * self.prompt_rows * self.panel

    def prompt_vectors(self, vectors: Any) -> np.ndarray:
        """[tokens, hidden_size] -> [H, W, across * prompt_rows * panel] for <llm/prefill>: tokens over the rows,
        elements turned, a panel of all tokens after the other. MS0991 if there are too many."""
        vectors = np.asarray(vectors, self.dtype)
        if not 1 <= len(vectors) <= self.prompt:
            raise llama_error("MS0991", f"a prompt of {len(vectors)} tokens: this placement takes 1 to {self.prompt}")
        padded = np.zeros((self.height, self.prompt_rows, self.config.hidden_size + 1), self.dtype)
        for y, tokens in enumerate(self.prompt_tokens(len(vectors))):
            padded[y, : len(tokens), :-1] = vectors[tokens.start : tokens.stop]
        # [H, rows, W, across, panel]
        tiles = np.stack([rows[:, index] for rows, index in zip(padded, self._turned_panels())])
        return np.ascontiguousarray(tiles.transpose(0, 2, 3, 1, 4)).reshape(self.height, self.width, -1)

    def collect_routes(self, array: np.ndarray, tokens: int) -> np.ndarray:
        """[H, layers * prompt_rows * chosen] -> int [tokens, layers, chosen]: of a prompt, what the rows' first columns have
        chosen."""
        rows = array.reshape(self.height, self.layers, self.prompt_rows, -1).astype(np.int64)
        return np.concatenate([rows[y, :, : len(t)].swapaxes(0, 1) for y, t in enumerate(self.prompt_tokens(tokens))])

    def _turned_panels(self) -> np.ndarray:
        return self.turned_index.reshape(self.height, self.width, self.across, self.panel)

    def collect_prompt(self, array: np.ndarray, tokens: int) -> np.ndarray:
        """[H, W, across * prompt_rows * panel] -> [tokens, hidden_size]: what `prompt_vectors` placed."""
        tiles = array.reshape(self.height, self.width, self.across, self.prompt_rows, self.panel)
        out = np.zeros((self.height, self.prompt_rows, self.config.hidden_size + 1), array.dtype)
        for rows, index, tile in zip(out, self._turned_panels(), tiles):
            rows[:, index] = tile.transpose(2, 0, 1, 3)
        return np.concatenate([out[y, : len(t), :-1] for y, t in enumerate(self.prompt_tokens(tokens))])

    def prompt_rotary(self, tokens: int, length: int | None = None, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """cos and sin of a prompt's positions from `first` on: [H, W, prompt_rows * head_elements / 2] each. length: as in
        `LlamaConfig.rotary`."""
        out = []
        for table in self.config.rotary(range(first, first + tokens), length):
            padded = np.zeros((self.height, self.prompt_rows, self.config.head_size // 2 + 1), self.dtype)
            for y, t in enumerate(self.prompt_tokens(tokens)):
                padded[y, : len(t), :-1] = table[t.start : t.stop]
            tiles = padded[:, :, self.pairs]  # [H, rows, W, pairs]
            out.append(np.ascontiguousarray(tiles.transpose(0, 2, 1, 3)).reshape(self.height, self.width, -1))
        return out[0], out[1]

    def turned_vector(self, vector: Any) -> np.ndarray:
        """[hidden_size] -> [H, W, across * panel]: turned like a prompt's vectors (the norms of <llm/prefill>)."""
        padded = np.append(np.asarray(vector, self.dtype), self.dtype.type(0))
        return padded[self.turned_index]

    def load(self) -> np.ndarray:
        """int [H]: tokens an empty cache holds on each row when it is full."""
        return (
            np.full(self.height, self.capacity)
            if self.shift
            else np.eye(1, self.height, self.height - 1, dtype=int)[0] * self.capacity
        )


def _vector_block(longest: int) -> int:
    """f32 of <llm/vector> for vectors of up to so many elements."""
    n = min(longest, 64)
    return 3 * (n + 1 if n % 4 == 0 else n)


def line_group(n: int) -> int:
    """PEs of a group of a line of n: the one with the fewest software stages, size of them to the roots and half as many as
    there are groups to the root in the middle."""
    return min(range(1, n + 1), key=lambda size: -(-n // size) // 2 + size)


def tolerance(config: LlamaConfig, dtype: Any, layers: int | None = None) -> float:
    """How far results may be from float64's, relative to the largest element of a vector.

    Each product of K elements rounds about K times, and roundings add up like a random walk: eps sqrt(K) for each half
    of a layer.
    """
    longest = max(config.hidden_size, config.heads * config.head_size, config.feed_forward_size)
    return 2 * float(np.finfo(dtype).eps) * math.sqrt(longest) * (config.layers if layers is None else layers)
