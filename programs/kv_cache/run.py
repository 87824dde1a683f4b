"""How many tokens a key-value cache takes before the first PE is full: concatenated, and shifted.

W, H: the mesh. heads, elements: key and value heads on a PE and elements of each. bytes: what the cache of a PE may
take.
"""

import numpy as np

import meshlang

context = meshlang.run_context()
args = meshlang.params(W=2, H=8, heads=1, elements=4, bytes=256)
W, H, heads, elements = (args[n] for n in ("W", "H", "heads", "elements"))
token_bytes = 2 * heads * elements * 2 + 2  # key and value in f16, and the token's place in the order
capacity = args["bytes"] // token_bytes
context.check(
    min(W, H, heads, elements) >= 1,
    f"W, H, heads and elements must be positive, found {W}, {H}, {heads} and {elements}",
)
context.check(capacity >= 1, f"a token takes {token_bytes} bytes of a PE; {args['bytes']} are too few")
context.check(
    capacity * H <= 2048,
    f"{capacity} tokens on each of {H} rows are more than f16 can count exactly; take fewer bytes or rows",
)
size = heads * elements


def fill(shift):
    """Append tokens 0, 1, ..., each with its number in all elements, until a PE is full: tokens, loads, cycles of the
    appends."""
    program = meshlang.compile(
        "layout.csl",
        params={"W": W, "H": H, "heads": heads, "elements": elements, "capacity": capacity, "shift": shift},
    )
    cycles = []
    with program.start() as fabric:
        loads = np.zeros(H, int)
        tokens = 0
        while loads[-1] < capacity or (shift and loads.sum() < capacity * H):
            fabric.write("fresh", np.full((H, W, 2 * size), tokens, np.float16))
            fabric.launch("append", tokens)
            tokens += 1
            state = fabric.read("state", count=3)
            loads = state[:, 0, 0].astype(int)
            cycles.append(int(state[..., 2].max()))
            context.check(int(loads.sum()) == tokens, f"{tokens} tokens were stored, the rows hold {loads.tolist()}")
        keys = fabric.read("keys", count=size * capacity).reshape(H, W, size, capacity)
        values = fabric.read("values", count=size * capacity).reshape(H, W, heads, capacity, elements)
        order = fabric.read("order", count=capacity)
    # from the first row to the last, and on a row from the oldest to the newest, tokens are in order
    found = []
    for y in range(H):
        for i in range(loads[y]):
            slot = order[y, 0, (state[y, 0, 1] + i) % capacity]
            held = np.concatenate([keys[y, :, :, slot].ravel(), values[y, :, :, slot].ravel()])
            context.check(bool((held == held[0]).all()), f"row {y} should hold one token in slot {slot}")
            found.append(int(held[0]))
    context.check(found == list(range(tokens)), "the rows should hold all tokens, in order")
    return tokens, loads, cycles


print(
    f"{W} x {H} PEs, {heads} head(s) of {elements} elements on a PE, {args['bytes']} bytes of cache: {capacity} tokens on a PE"
)
results = {}
for name, shift in (("concatenate", False), ("shift", True)):
    tokens, loads, cycles = fill(shift)
    results[name] = tokens
    print(
        f"{name:11}  {tokens:5} tokens until a PE is full, rows {loads.tolist()}, an append takes {min(cycles)} to {max(cycles)} cycles"
    )
print(f"shift holds {results['shift'] / results['concatenate']:g} times as many: the number of rows")
context.check(results["shift"] == H * results["concatenate"], "the shift cache should hold as many tokens on every row")
context.result(**results)
