"""The experts of one sparse layer for batches of tokens on W x H PEs, in one placement after the other, compared with numpy
in float64 and with each other.

regions: placements to try, such as 1,4: 1 spreads every expert over all columns, R gives each of R blocks of columns a part of the
experts to itself. batches: tokens at a time. steps: batches of each size, one after the other. skew: how much the tokens of a
step have in common (0: nothing, and experts are chosen evenly; 1: they all but agree). once: each placement a second time, with an
expert's weights read once for all tokens that chose it. table: print rows of docs/moe.md.
"""

import numpy as np

import meshlang
from meshlang import llama, llama_reference
from meshlang.models import cap
from meshlang.models.experts import Experts

context = meshlang.run_context()
args = meshlang.params(
    W=8,
    H=8,
    hidden=64,
    feed=64,
    experts=16,
    chosen=4,
    shared=0,
    all_logits=False,
    batches="1,4",
    regions="1,4",
    steps=4,
    skew=0.0,
    once=False,
    f32=False,
    table=False,
)
forms = (False, True) if args["once"] else (False,)
width = 15 if args["once"] else 9
batches, placements = ([int(n) for n in str(args[name]).split(",")] for name in ("batches", "regions"))
context.check(min(batches, default=0) >= 1 and args["steps"] >= 1, "batches and steps must be positive")
context.check(0 <= args["skew"] <= 1, f"skew must be between 0 and 1, found {args['skew']}")
dtype = np.float32 if args["f32"] else np.float16
experts = Experts(args["experts"], args["chosen"], not args["all_logits"], args["shared"])
config = llama.LlamaConfig(
    hidden_size=args["hidden"], heads=1, kv_heads=1, head_size=2, feed_forward_size=args["feed"], experts=experts
)
seed, arch = context.seed or 0, context.options.get("arch") or "wse2"
weights = config.random_weights(seed, dtype)
weights["model.layers.0.mlp.gate.weight"] *= dtype(2)  # a router that knows what it wants
sizes = cap.Sizes.of(config, np.dtype(dtype).itemsize)
bound = llama.tolerance(config, dtype)


def tokens(batch):
    """[steps, batch, hidden]: normalised vectors, in each step mixed with one that is the same for all."""
    rng = np.random.default_rng(seed + batch)
    own = rng.normal(size=(args["steps"], batch, config.hidden_size))
    common = rng.normal(size=(args["steps"], 1, config.hidden_size))
    mixed = np.sqrt(1 - args["skew"] ** 2) * own + args["skew"] * common
    return (mixed / np.sqrt((mixed**2).mean(2, keepdims=True))).astype(dtype)


def measure(regions, once, batch, inputs):
    """Results and choices [steps, batch, ...], cycles of each step, and what all PEs read and computed."""
    place = llama.Placement(config, args["H"], args["W"], capacity=1, dtype=dtype, regions=regions, batch=batch)
    e = place.config.experts
    program = meshlang.compile("layout.csl", params=place.moe_params() | {"once": once})
    results, routes, cycles = [], [], []
    with program.start() as fabric:
        for name, array in place.layer_weights(weights, 0):
            if name in ("w_router", "w_gate_up", "w_down"):
                fabric.write(name, array)
        before = fabric.stats()
        for vectors in inputs:
            fabric.write("normal", place.hidden_vector(vectors))
            fabric.launch("forward")
            rows = fabric.read("result", count=batch * place.hidden).reshape(place.height, place.width, batch, -1)
            context.check(
                bool((rows == rows[:, :1]).all()), "every PE of a row should hold the same part of the results"
            )
            results.append([place.collect_hidden(rows[:, :, t]) for t in range(batch)])
            chosen = fabric.read("routes", count=batch * e.chosen)
            context.check(bool((chosen == chosen[:1, :1]).all()), "every PE should choose the same experts")
            routes.append(chosen[0, 0].reshape(batch, e.chosen))
            ticks = fabric.read("ticks", count=6).astype(np.int64)
            cycles.append(int(((ticks[..., 3:] - ticks[..., :3]) @ [1, 1 << 16, 1 << 32]).max()))
        after = fabric.stats()
    work = {name: after[name] - before[name] for name in ("bytes_read", "bytes_written", "flops")}
    return np.array(results), np.array(routes), cycles, work


def largest_load(routes, regions):
    """Of each step, the tokens' experts in the fullest region over those of a region in the mean; the mean of the steps."""
    region = routes.reshape(len(routes), -1) // (experts.count // regions)
    loads = np.array([np.bincount(row, minlength=regions) for row in region])
    return float((loads.max(1) / loads.mean(1)).mean())


if args["table"]:
    print("| tokens | placement | cycles | a token | S-MBU | S-MFU | experts | uniform | largest load |")
    print("|---:|---|---:|---:|---:|---:|---:|---:|---:|")
all_cycles, worst = {}, 0.0
for batch in batches:
    inputs = tokens(batch)
    reference = llama_reference.Reference(config, weights)
    expected = np.array([reference.mixture(0, vectors.astype(np.float64)) for vectors in inputs])
    ways = np.array(reference.routes[0]).reshape(args["steps"], batch, experts.chosen)
    activated = np.array([len(np.unique(way)) for way in ways])
    first = None
    for regions, once in ((r, o) for r in placements for o in forms):
        results, routes, cycles, work = measure(regions, once, batch, inputs)
        same = bool((routes == ways).all())
        context.check(same or dtype == np.float16, "the choice of experts differs from numpy's")
        error = meshlang.largest_error(results, expected, relative=True) if same else 0.0
        worst = max(worst, error)
        if first is None:
            first = results, routes
        context.check(bool((routes == first[1]).all()), "all placements should choose the same experts")
        apart = meshlang.largest_error(results, first[0], relative=True)
        context.check_error(apart, bound, "the placements' results")
        machine = cap.machine(arch, args["W"], args["H"], not args["f32"])
        seconds = sum(cycles) / machine.clock
        moved = (int(activated.sum()) * sizes.expert + args["steps"] * sizes.shared) * sizes.precision
        flops = args["steps"] * batch * (2 * sizes.router + 2 * sizes.k * sizes.expert)
        mbu, mfu = moved / seconds / machine.bandwidth, flops / seconds / machine.operations
        load = largest_load(routes, regions)
        mean = sum(cycles) / len(cycles)
        uniform = experts.count * (1 - (1 - experts.chosen / experts.count) ** batch)
        name = ("sliced" if regions == 1 else f"{regions} regions") + (", once" if once else "")
        all_cycles[f"{name}, {batch}"] = cycles
        if args["table"]:
            print(
                f"| {batch} | {name} | {mean:,.0f} | {mean / batch:,.0f} | {100 * mbu:.2f} % | {100 * mfu:.2f} % | {activated.mean():.2f} | "
                f"{uniform:.2f} | {load:.2f} |"
            )
        else:
            print(
                f"{batch:2} tokens, {name:{width}}: {mean:9,.1f} cycles; experts {activated.mean():.2f} (uniform {uniform:.2f}), "
                f"fullest region {load:.2f} times the mean; S-MBU {100 * mbu:.3f} %, S-MFU {100 * mfu:.3f} %; "
                f"read {work['bytes_read']:,} bytes, {work['flops']:,} FLOP; choices {'as' if same else 'NOT as'} in float64, error {error:.1e}"
            )
if not args["table"]:
    shared = f", a shared one of {args['shared']}" if args["shared"] else ""
    print(
        f"{experts.chosen} of {experts.count} experts of {args['feed']}{shared}, {config.hidden_size} elements, {dtype.__name__}, "
        f"on {args['W']} x {args['H']} PEs ({arch}); bound {bound:.1e}"
    )
context.check_error(worst, bound)
context.result(cycles=all_cycles, max_error=worst, bound=bound)
