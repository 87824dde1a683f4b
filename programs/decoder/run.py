"""Decoder layers, one token at a time, on W x H PEs, compared with numpy in float64.

config: a Hugging Face config.json, whose sizes replace hidden, heads, kv_heads, head_size and feed. layers: how many of
them, one after the other on the same PEs. tokens: how many are decoded into a cache of `capacity` tokens per PE, in
which there are `context` tokens already, whose keys and values are zeros.
concat: the cache concatenates instead of shifting. interleaved: Meta's pairing of the rotary embedding. serial: the
lines are chains instead of trees. f32_sum: f16 data with sums of f32.
"""

import dataclasses

import numpy as np

import meshlang
from meshlang import llama, llama_reference

context = meshlang.run_context()
args = meshlang.params(
    W=4,
    H=4,
    hidden=32,
    heads=4,
    kv_heads=2,
    head_size=8,
    feed=48,
    layers=1,
    tokens=6,
    context=0,
    capacity=4,
    config="",
    f32=False,
    concat=False,
    interleaved=False,
    serial=False,
    f32_sum=False,
)
if args["config"]:
    config = dataclasses.replace(llama.LlamaConfig.from_json(args["config"]), layers=args["layers"])
else:
    config = llama.LlamaConfig(
        hidden_size=args["hidden"],
        heads=args["heads"],
        kv_heads=args["kv_heads"],
        head_size=args["head_size"],
        feed_forward_size=args["feed"],
        layers=args["layers"],
        interleaved=args["interleaved"],
    )
dtype = np.float32 if args["f32"] else np.float16
place = llama.Placement(
    config,
    args["H"],
    args["W"],
    capacity=args["capacity"],
    dtype=dtype,
    shift=not args["concat"],
    f32_sums=args["f32_sum"],
)
context.check(
    min(args["context"], args["tokens"] - 1) >= 0, "context is 0 or positive, and there is at least one token"
)
place.check_tokens(args["context"] + args["tokens"])
weights = config.random_weights(context.seed or 0, dtype, vocabulary=False)
reference = llama_reference.Reference(config, weights)
for past in (reference.keys, reference.values):
    past[:] = [np.zeros((config.kv_heads, args["context"], config.head_size)) for _ in past]
rng = np.random.default_rng(context.seed or 0)

program = meshlang.compile("layout.csl", params=place.params(tree=not args["serial"]))
cycles, error, largest = [], 0.0, 0.0
with program.start() as fabric:
    for name, array in place.each_weight(weights):
        fabric.write(name, array)
    if args["context"]:
        fabric.launch("reset", args["context"])
    for token in range(args["context"], args["context"] + args["tokens"]):
        x = rng.uniform(-1, 1, config.hidden_size).astype(dtype)
        fabric.write("x", place.hidden_vector(x))
        for name, table in zip(("cos", "sin"), place.rotary(token)):
            fabric.write(name, table)
        fabric.launch("decode", token)
        rows = fabric.read("x", count=place.hidden)
        ticks = fabric.read("ticks", count=6).astype(np.int64)
        cycles.append(int(((ticks[..., 3:] - ticks[..., :3]) @ [1, 1 << 16, 1 << 32]).max()))
        context.check(
            bool((rows == rows[:, :1]).all()), "every PE of a row should hold the same part of the hidden vector"
        )
        y, expected = place.collect_hidden(rows), reference.decode(x[None])[0]
        error = max(error, meshlang.largest_error(y, expected))
        largest = max(largest, float(np.abs(expected).max()))
    loads = fabric.read("loads", count=1)[:, 0, 0]

# the error of a token relative to the largest element: a layer's roundings, which add up like a random walk
# (docs/stdlib-llm.md)
bound = llama.tolerance(config, dtype) * largest
print(f"hidden[:4] = {y[:4]}   numpy: {expected[:4].astype(dtype)}")
print(
    f"{config.layers} layer(s) of {config.hidden_size} elements, {config.heads} heads, {config.kv_heads} key-value heads of {config.head_size}, "
    f"feed-forward {config.feed_forward_size}, {dtype.__name__}, on {place.width} x {place.height} PEs"
)
first = f"{args['context']} tokens" if args["context"] else "an empty cache"
rows = loads.tolist() if loads.size <= 32 else f"{loads.min()} to {loads.max()}"
print(f"cycles of a token: {cycles[0]} with {first}, {cycles[-1]} with {token} tokens; tokens on the rows: {rows}")
print(f"largest error {error:.2e} (bound {bound:.2e})")
context.check_error(error, bound)
context.result(hidden=y, cycles=cycles, loads=loads, max_error=error, bound=bound)
