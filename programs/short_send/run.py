"""Two PEs, one of which waits for a number that the other never sends: a program to look into with `meshlang repl`, and with
`meshlang run --html`.

count: numbers that are sent. With 3 of them the run ends in a deadlock, which is explained; with 4 it works. docs/repl.md finds out why
it hangs.
"""

import numpy as np

import meshlang

args = meshlang.params(count=3)
program = meshlang.compile("layout.csl", params=args)
with program.start() as fabric:
    fabric.launch("main")
    total = fabric.read("sum", x=1)[0, 0]
    print(total, fabric.cycles, "cycles")
    meshlang.run_context().check(np.array_equal(total, [1, 2, 3, 4]), f"the sum is {total}")
