"""What `why` makes of mistakes in whole programs: a GEMV on 8 x 8 PEs, collectives, a line of switches. Each has a
`mistake` parameter."""

from pathlib import Path

import pytest
from wordless import wordless

from meshlang import MeshlangError
from meshlang.fabric.report import deadlock_error
from meshlang.host.build import build
from meshlang.inspect.debugger import Debugger
from meshlang.inspect.why import annotate, explain, explanation_lines

PROGRAMS = Path(__file__).parent / "programs"

# (program, mistake) -> the only cause, how many groups of PEs are shown, lines that are among the explanation's
MISTAKES = {
    ("gemv", 1): ("no_ramp", 1, ["because the route of color 2 at PE 0,1 is NORTH -> SOUTH, without RAMP in tx"]),
    ("gemv", 2): (
        "not_activated",
        2,
        [
            "because unblock_cmd_stream is called in task on_finish (id 12), which is not active; "
            "nothing in the code there activates it"
        ],
    ),
    ("gemv", 3): (
        "never_sent",
        2,
        [
            "because color 3 comes from PE 0,4, where nothing is running any more; it has sent 0 wavelets in all",
            "because color 4 comes from PE 1,4, where microthread 3 is at fadds (pe.csl:46) and waits for input queue 3 "
            "(color 3)",
        ],
    ),
    ("gemv", 4): (
        "wrong_color",
        2,
        ["and color 3 leads there, and the PE has no input queue for it: is that the color to receive?"],
    ),
    ("gemv", 5): (
        "task_blocked",
        3,
        ["and on PE 2,7 the task on_sum is activated, but blocked", "and nothing in the code there unblocks it"],
    ),
    ("gemv", 6): (
        "extent",
        3,
        ["because color 3 comes from PE 4,3, where nothing is running any more; it has sent 4 wavelets in all"],
    ),
    ("collectives", 1): (
        "teardown",
        3,
        [
            "and color 0 is in teardown at PE 2,3",
            "and on PE 2,3, where the color is in teardown, main is done",
            "and <collectives_2d/pe> sets the route of color 0 when it is called; here it has not been, or with "
            "other arguments than elsewhere",
        ],
    ),
    ("collectives", 2): ("teardown", 2, ["because color 0 is in teardown at PE 1,0"]),
    ("line", 1): (
        "teardown",
        2,
        ["because color 2 is in teardown at PE 2,0", "and on PE 2,0, where the color is in teardown, main is done"],
    ),
    ("line", 2): (
        "switch",
        2,
        ["because PE 2,0 receives color 2 from WEST, but PE 1,0 there sends it to RAMP (its switch is at position 0)"],
    ),
}


def stopped(program: str, mistake: int, arch: str) -> tuple[Debugger, MeshlangError | None]:
    debugger = Debugger(build(str(PROGRAMS / program / "layout.csl"), arch=arch, params={"mistake": mistake}))
    debugger.launch("main")
    try:
        debugger.run()
        debugger.run()
    except MeshlangError as error:
        return debugger, error
    return debugger, None


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
@pytest.mark.parametrize("program", ["gemv", "collectives", "line"])
def test_without_a_mistake_they_end(program, arch):
    debugger, error = stopped(program, 0, arch)
    assert (
        error is None
        and debugger.machine.commands_outstanding == 0
        and debugger.machine.waiting() == [] == debugger.machine.warnings
    )


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
@pytest.mark.parametrize(("program", "mistake"), MISTAKES)
def test_the_cause_of_a_mistake(program, mistake, arch):
    rule, groups, lines = MISTAKES[program, mistake]
    debugger, error = stopped(program, mistake, arch)
    assert error is not None and error.exit_code == 3
    e = explain(debugger.machine)
    shown = [line.strip() for line, _ in explanation_lines(e)]
    assert e.causes() == [rule], shown
    assert len(e.findings) == groups, shown
    assert not set(lines) - set(shown), shown
    with wordless():
        told = explain(debugger.machine)
        blamed = deadlock_error(debugger.machine, error.until or "commands").diagnostics[0]
    assert (told.causes(), [(f.pes, f.rule) for f in told.findings]) == ([rule], [(f.pes, f.rule) for f in e.findings])
    assert (blamed.code, str(blamed.span)) == (error.diagnostics[0].code, str(error.diagnostics[0].span))
    # the message of the deadlock has the root, too
    annotate(error.diagnostics[0], e)
    first = next(f for f in e.findings if f.rule == rule)
    assert f"because {first.because[-1]}" in error.diagnostics[0].notes
    assert len(error.diagnostics[0].notes) < 20


def test_a_busy_loop():
    debugger = Debugger(build(str(PROGRAMS / "line" / "layout.csl"), params={"mistake": 3}))
    debugger.launch("main")
    debugger.run(limit=20_000)
    assert explain(debugger.machine).causes() == ["busy_wait"]
