"""Decoder layers for a whole prompt on W x H PEs, compared with numpy in float64.

tokens: the prompt's length. layers: how many, one after the other on the same PEs. config: a Hugging Face config.json,
whose sizes replace hidden, heads, kv_heads, head_size and feed. interleaved: Meta's pairing of the rotary embedding.
f32_sum: f16 data with sums of f32.
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
    tokens=10,
    config="",
    f32=False,
    interleaved=False,
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
W, H, tokens = args["W"], args["H"], args["tokens"]
context.check(min(W, H, tokens) >= 1, f"W, H and tokens must be positive, found {W}, {H} and {tokens}")
dtype = np.float32 if args["f32"] else np.float16
place = llama.Placement(config, H, W, capacity=-(-tokens // H), dtype=dtype, prompt=tokens, f32_sums=args["f32_sum"])
weights = config.random_weights(context.seed or 0, dtype, vocabulary=False)
x = np.random.default_rng(context.seed or 0).uniform(-1, 1, (tokens, config.hidden_size)).astype(dtype)

program = meshlang.compile("layout.csl", params=place.prefill_params())
with program.start() as fabric:
    for name, array in place.each_weight(weights):
        if name != "norms":  # those of decoding
            fabric.write(name.removeprefix("turned_"), array)
    fabric.write("prompt", place.prompt_vectors(x))
    for name, table in zip(("prompt_cos", "prompt_sin"), place.prompt_rotary(tokens)):
        fabric.write(name, table)
    fabric.launch("prefill", tokens)
    y = place.collect_prompt(fabric.read("prompt", count=place.prompt_elements), tokens)
    keys = fabric.read("keys", count=config.layers * place.kv_elements * place.capacity)
    ticks = fabric.read("ticks", count=6).astype(np.int64)
    cycles = int(((ticks[..., 3:] - ticks[..., :3]) @ [1, 1 << 16, 1 << 32]).max())

reference = llama_reference.Reference(config, weights)
expected = reference.decode(x)
error, bound = meshlang.largest_error(y, expected), llama.tolerance(config, dtype) * float(np.abs(expected).max())
print(f"last token, hidden[:4] = {y[-1, :4]}   numpy: {expected[-1, :4].astype(dtype)}")
print(
    f"{config.layers} layer(s) of {config.hidden_size} elements, {config.heads} heads, {config.kv_heads} key-value heads of {config.head_size}, "
    f"feed-forward {config.feed_forward_size}, {dtype.__name__}, on {W} x {H} PEs"
)
print(f"{tokens} tokens: {cycles} cycles, {cycles / tokens:.0f} a token; largest error {error:.2e} (bound {bound:.2e})")
context.check_error(error, bound)
context.result(hidden=y, keys=keys, cycles=cycles, max_error=error, bound=bound)
