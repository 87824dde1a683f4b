"""A small Llama with random weights on W x H PEs: prefill, hand-over, then token by token, greedily, compared with
numpy in float64.

config: a Hugging Face config.json (else hidden, heads, kv_heads, head_size, feed, layers, vocabulary). prompt: how many
(random) tokens to start with; all but the last are prefilled. new: how many tokens are generated. The host keeps the
embedding table and picks the largest logit; all layers, the final norm and the output projection are on the mesh.
"""

import contextlib

import numpy as np

import meshlang
from meshlang import llama, llama_reference
from meshlang.host.progress import shown

context = meshlang.run_context()
args = meshlang.params(
    W=8,
    H=8,
    hidden=64,
    heads=8,
    kv_heads=4,
    head_size=8,
    feed=128,
    layers=2,
    vocabulary=128,
    prompt=13,
    new=20,
    capacity=0,
    config="",
    f16=False,
    interleaved=False,
    concat=False,
)
if args["config"]:
    config = llama.LlamaConfig.from_json(args["config"])
else:
    config = llama.LlamaConfig(
        hidden_size=args["hidden"],
        heads=args["heads"],
        kv_heads=args["kv_heads"],
        head_size=args["head_size"],
        feed_forward_size=args["feed"],
        layers=args["layers"],
        vocabulary=args["vocabulary"],
        interleaved=args["interleaved"],
    )
W, H, length, new = args["W"], args["H"], args["prompt"], args["new"]
context.check(min(W, H, length, new) >= 1, f"W, H, prompt and new must be positive, found {W}, {H}, {length} and {new}")
dtype = np.float16 if args["f16"] else np.float32
total = length + new - 1  # the last token generated is not looked at again
capacity = args["capacity"] or (-(-total // H) if not args["concat"] else -(-length // H) + new)
place = llama.Placement(
    config, H, W, capacity=capacity, dtype=dtype, head=True, prompt=max(length - 1, 1), shift=not args["concat"]
)
place.check_tokens(total, length - 1)
weights = config.random_weights(context.seed or 0, dtype)
reference = llama_reference.Reference(config, weights)
tokens = np.random.default_rng(context.seed or 0).integers(0, config.vocabulary, length).tolist()
embeddings = weights["model.embed_tokens.weight"]


def cycles():
    ticks = fabric.read("ticks", count=6).astype(np.int64)
    return int(((ticks[..., 3:] - ticks[..., :3]) @ [1, 1 << 16, 1 << 32]).max())


def progress():
    """A bar, on a terminal."""
    if not shown():
        return contextlib.nullcontext()
    from rich.console import Console
    from rich.progress import Progress

    return Progress(console=Console(stderr=True), transient=True)


program = meshlang.compile(llama.MODEL, params=place.model_params())
bound, error, agreed, decode_cycles, prefill_cycles = llama.tolerance(config, dtype), 0.0, 0, [], 0
with program.start() as fabric, progress() as bar:
    job = bar.add_task("prompt", total=total) if bar else None
    for name, array in place.each_weight(weights):
        fabric.write(name, array)
    if length > 1:
        fabric.write("prompt", place.prompt_vectors(embeddings[tokens[:-1]]))
        for name, table in zip(("prompt_cos", "prompt_sin"), place.prompt_rotary(length - 1)):
            fabric.write(name, table)
        fabric.launch("prefill", length - 1)
        prefill_cycles = cycles()
        reference.decode(reference.embed(tokens[:-1]))
    fabric.launch("settle", length - 1)
    settle_cycles = cycles()
    while len(tokens) < length + new:
        position = len(tokens) - 1
        if bar:
            bar.update(job, completed=position, description=f"token {position + 1}")
        fabric.write("x", place.hidden_vector(embeddings[tokens[-1]]))
        for name, table in zip(("cos", "sin"), place.rotary(position)):
            fabric.write(name, table)
        fabric.launch("decode", position)
        decode_cycles.append(cycles())
        logits = place.collect_logits(fabric.read("logits", count=place.vocabulary))
        expected = reference.logits(reference.decode(reference.embed(tokens[-1:])))[0]
        error = max(error, meshlang.largest_error(logits, expected, relative=True))
        agreed += int(logits.argmax() == expected.argmax())
        tokens.append(int(logits.argmax()))
    loads = fabric.read("loads", count=1)[:, 0, 0]

print(f"prompt    {' '.join(map(str, tokens[:length]))}")
print(f"generated {' '.join(map(str, tokens[length:]))}")
print(
    f"{config.layers} layers, {config.hidden_size} elements, {config.heads} heads, {config.kv_heads} key-value heads of {config.head_size}, "
    f"feed-forward {config.feed_forward_size}, vocabulary {config.vocabulary}, {dtype.__name__}, on {W} x {H} PEs"
)
rows = loads.tolist() if loads.size <= 32 else f"{loads.min()} to {loads.max()}"
print(
    f"prefill of {length - 1} tokens {prefill_cycles} cycles, hand-over {settle_cycles}, decoding {decode_cycles[0]} to "
    f"{decode_cycles[-1]} a token; tokens on the rows: {rows}"
)
print(
    f"{agreed} of {new} tokens are those of numpy in float64; largest error of a logit {error:.2e} of the largest logit (bound {bound:.2e})"
)
context.check_error(error, bound)
context.check(agreed == new or args["f16"], f"{new - agreed} of {new} tokens differ from the reference's")
context.result(
    tokens=tokens, prefill_cycles=prefill_cycles, decode_cycles=decode_cycles, max_error=error, agreed=agreed
)
