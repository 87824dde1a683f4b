"""The tokens of a row, spread over the columns, to the regions of the experts they have chosen: the ways to do it, compared.

Each row has `tokens` tokens, and a column `n` elements of each. A token chooses `chosen` of `experts` experts at random, which
are spread over `regions` blocks of columns. Afterwards a column has whole vectors of the tokens that want it, to the last bit.

  ring       everything goes round to everyone, who keep what they want (as a MeshGEMM whose left matrix moves does)
  alltoall   <comm/alltoall>, each gets what it wants and no more: all of a row know the choices, so no capacity is needed
  multicast  <comm/sift>: everything goes by everyone on two buses, and counter filters let in what is wanted

tokens, chosen, regions: one number or several, such as 1,4. table: print rows of docs/moe.md.
"""

import numpy as np

import meshlang

context = meshlang.run_context()
args = meshlang.params(
    W=8,
    H=1,
    n=8,
    tokens="4",
    experts=16,
    chosen="2",
    regions="4",
    f32=False,
    table=False,
    ways="ring,alltoall,multicast",
)
WAYS = ["ring", "alltoall", "multicast"]
ways = str(args["ways"]).split(",")
context.check(set(ways) <= set(WAYS), f"ways are {', '.join(WAYS)}; found {args['ways']}")
numbers = {name: [int(v) for v in str(args[name]).split(",")] for name in ("tokens", "chosen", "regions")}
W, H, n, E = args["W"], args["H"], args["n"], args["experts"]
for name, values in numbers.items():
    context.check(min(values) >= 1, f"{name} must be positive")
for regions in numbers["regions"]:
    context.check(
        regions <= W and E % regions == 0, f"{regions} regions: at most {W}, the columns, and a divisor of {E} experts"
    )
context.check(max(numbers["chosen"]) <= E, f"a token chooses at most all {E} experts")
dtype = np.float32 if args["f32"] else np.float16


def choices(tokens, chosen, regions):
    """For each row and region the tokens that want it; where none does, the first: a filter lets at least one through."""
    rng = np.random.default_rng((context.seed or 0, tokens, chosen))
    found = []
    for _ in range(H):
        regions_of = [set(rng.choice(E, chosen, replace=False) // (E // regions)) for _ in range(tokens)]
        found.append([[t for t in range(tokens) if r in regions_of[t]] or [0] for r in range(regions)])
    return found


def dispatch(way, tokens, regions, lists, vectors):
    """Cycles; what every column has got is compared with the vectors."""
    params = {
        "W": W,
        "H": H,
        "f32_data": args["f32"],
        "tokens": tokens,
        "n": n,
        "regions": regions,
        "way": WAYS.index(way),
    }
    counts = np.array([[len(tokens_of) for tokens_of in row] for row in lists], np.uint16)
    numbers_of = np.zeros((H, regions, tokens), np.uint16)
    for y, row in enumerate(lists):
        for r, tokens_of in enumerate(row):
            numbers_of[y, r, : len(tokens_of)] = tokens_of
    with meshlang.compile("layout.csl", params=params).start() as fabric:
        for name, array in (("counts", counts), ("lists", numbers_of.reshape(H, -1))):
            fabric.write(name, np.repeat(array[:, None], W, 1))
        for sent in (-vectors, vectors):  # the second time, everything is as the first one has left it
            fabric.write("vectors", sent.transpose(0, 2, 1, 3).reshape(H, W, -1))
            fabric.launch("dispatch")
            check(way, sent, lists, regions, fabric)
        ticks = fabric.read("ticks", count=6).astype(np.int64)
    return int(((ticks[..., 3:] - ticks[..., :3]) @ [1, 1 << 16, 1 << 32]).max())


def check(way, sent, lists, regions, fabric):
    """Every column has the vectors that its region wants."""
    tokens = sent.shape[1]
    got = fabric.read("got", count=W * tokens * n)
    down = fabric.read("got_down", count=W * tokens * n) if way == "multicast" else None
    for y in range(H):
        for x in range(W):
            wanted = lists[y][min(x // (W // regions), regions - 1)]
            size = len(wanted) * n
            want = sent[y][wanted].transpose(1, 0, 2)  # [columns, tokens, n]
            if down is None:
                have = got[y, x].reshape(W, -1)[:, :size].reshape(want.shape)
            else:  # those before it, the nearest first, and those behind it
                up = got[y, x, : (x + 1) * size].reshape(x + 1, *want.shape[1:])[::-1]
                have = np.concatenate([up[:-1], down[y, x, : (W - x) * size].reshape(W - x, *want.shape[1:])])
            context.check(bool((have == want).all()), f"{way}: column {x} of row {y} has other vectors than it wants")


if args["table"]:
    print(f"| tokens | chosen | regions | a region's tokens | {' | '.join(ways)} |")
    print("|---:|---:|---:|---:|" + "---:|" * len(ways))
cycles = {}
for tokens in numbers["tokens"]:
    vectors = np.random.default_rng(tokens).normal(size=(H, tokens, W, n)).astype(dtype)
    for chosen in numbers["chosen"]:
        for regions in numbers["regions"]:
            lists = choices(tokens, chosen, regions)
            found = [dispatch(way, tokens, regions, lists, vectors) for way in ways]
            mean = np.mean([len(tokens_of) for row in lists for tokens_of in row])
            cycles[f"{tokens}, {chosen}, {regions}"] = dict(zip(ways, found))
            if args["table"]:
                print(f"| {tokens} | {chosen} | {regions} | {mean:.2f} | {' | '.join(f'{c:,}' for c in found)} |")
            else:
                print(
                    f"{tokens} tokens, {chosen} of {E} experts in {regions} regions ({mean:.2f} tokens each): "
                    + ", ".join(f"{way} {c:,}" for way, c in zip(ways, found))
                    + " cycles"
                )
if not args["table"]:
    print(f"{n} elements of a token on each of {W} columns, {dtype.__name__}; all columns have what they want")
context.result(cycles=cycles)
