"""Two PEs, one color: what the right PE received, doubled."""

import meshlang

context = meshlang.run_context()
meshlang.params()

program = meshlang.compile("layout.csl")
with program.start() as fabric:
    fabric.launch("main")
    data = fabric.read("data", count=4)

print(f"left  {data[0, 0]}")
print(f"right {data[0, 1]}")
context.check(bool((data[0, 1] == 2 * data[0, 0]).all()), "the right PE should hold twice the left PE's numbers")
context.result(right=data[0, 1], cycles=fabric.cycles)
