"""Prompts through a model of one layer, dense or with experts: prefilled, handed over, and token by token, compared with numpy in
float64.

experts: 0 for a dense layer, whose feed-forward part has `feed` elements; else each expert has that many. tokens: lengths of prompts,
such as 8,16. regions: placements to try, as in run.py. decode: how many of the lengths are decoded token by token, too. table: print
rows of docs/moe.md.
"""

import numpy as np

import meshlang
from meshlang import llama, llama_reference
from meshlang.models.experts import Experts
from meshlang.models.runner import Runner

context = meshlang.run_context()
args = meshlang.params(
    W=8,
    H=8,
    hidden=64,
    heads=8,
    kv_heads=2,
    head_size=8,
    feed=64,
    experts=8,
    chosen=2,
    tokens="8,16",
    regions="1",
    decode=1,
    f32=False,
    table=False,
)
lengths, placements = ([int(n) for n in str(args[name]).split(",")] for name in ("tokens", "regions"))
context.check(min(lengths, default=0) >= 1, "tokens must be positive")
dtype = np.float32 if args["f32"] else np.float16
sparse = args["experts"] > 0
config = llama.LlamaConfig(
    hidden_size=args["hidden"], heads=args["heads"], kv_heads=args["kv_heads"], head_size=args["head_size"], feed_forward_size=args["feed"],
    vocabulary=64, experts=Experts(args["experts"], args["chosen"]) if sparse else None,
)  # fmt: skip
seed, arch = context.seed or 0, context.options.get("arch") or "wse2"
weights = config.random_weights(seed, dtype)
bound = llama.tolerance(config, dtype)


def run(length, regions, prompt):
    """After `length` tokens and one more: the runner and the error of the logits, relative to the largest. prompt: how many are prefilled."""
    tokens = np.random.default_rng(seed + length).integers(0, config.vocabulary, length + 1).tolist()
    place = llama.Placement(
        config,
        args["H"],
        args["W"],
        capacity=-(-(length + 1) // args["H"]),
        dtype=dtype,
        head=True,
        regions=regions,
        prompt=prompt,
    )
    runner, reference = Runner(place, weights, arch), llama_reference.Reference(config, weights)
    got, want = runner.feed(tokens), reference.logits(reference.decode(reference.embed(tokens)))[-1]
    same = not sparse or bool((np.array(runner.routes)[:, :, 0] == np.array(reference.routes).transpose(1, 0, 2)).all())
    context.check(same or dtype == np.float16, "the choice of experts differs from numpy's")
    error = meshlang.largest_error(got, want, relative=True) if same else 0.0
    context.check_error(error, bound)
    return runner, error, same


if args["table"]:
    print("| feed-forward | placement | tokens | prefill | hand-over | token by token |\n|---|---|---:|---:|---:|---:|")
layer = f"{args['chosen']} of {args['experts']} experts of {args['feed']}" if sparse else f"dense, {args['feed']}"
all_cycles, errors = {}, []
for regions in placements:
    name = "sliced" if regions == 1 else f"{regions} regions"
    for number, length in enumerate(lengths):
        runner, error, same = run(length, regions, length)
        one_by_one = None
        if number < args["decode"]:
            decoded, other, _ = run(length, regions, 0)
            one_by_one = sum(decoded.decode_cycles[:-1])
            error = max(error, other)
        all_cycles[f"{name}, {length}"] = [runner.prefill_cycles, runner.settle_cycles]
        errors.append(error)
        if args["table"]:
            print(
                f"| {layer} | {name} | {length} | {runner.prefill_cycles:,} | {runner.settle_cycles:,} | "
                f"{f'{one_by_one:,}' if one_by_one else ''} |"
            )
        else:
            print(
                f"{length:3} tokens, {layer}, {name}: prefill {runner.prefill_cycles:,} cycles, hand-over {runner.settle_cycles:,}"
                f"{f', token by token {one_by_one:,}' if one_by_one else ''}; choices {'as' if same else 'NOT as'} in float64, error {error:.1e}"
            )
print(
    f"{config.hidden_size} elements, {config.heads} heads, {dtype.__name__}, on {args['W']} x {args['H']} PEs ({arch}); bound {bound:.1e}"
)
context.result(cycles=all_cycles, max_error=max(errors), bound=bound)
