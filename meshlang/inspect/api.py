"""What the commands `report`, `profile`, `lint`, `explain` and a trace do, as functions that return objects.

    program = meshlang.compile("layout.csl")

    def work(fabric):
        fabric.write("x", x)
        fabric.launch("main")

    meshlang.report(program, work)
    meshlang.trace(program, work).save("run.html")

A program is what `meshlang.compile` returns, or the path of a layout, which is compiled with the options given. `work` is
called with the fabric, which records; without it the program's only exported function without parameters is launched. A run
that ends with a fault or a deadlock gives a result, too, up to there; `error` has it, and a Python warning says so. Results
print as the commands print them, show themselves in notebooks, and have their numbers in `data`.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from meshlang.diag import Diagnostic, MeshlangError
from meshlang.host.api import CompiledProgram, FabricHandle, public
from meshlang.host.api import compile as compile_program
from meshlang.host.html import text_html

if TYPE_CHECKING:
    from meshlang.fabric.recording import TraceOptions

Work = Callable[[FabricHandle], Any]


class _Shown:
    """A result: its text is `str(result)`, and what notebooks show. Of a run: `result` is what `work` returned, `error` the
    fault or deadlock that ended it (`result` is None then), or None."""

    @property
    def text(self) -> str:
        raise NotImplementedError

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return text_html(self.text)


def _program(program: CompiledProgram | str | Path, options: dict[str, Any]) -> CompiledProgram:
    if isinstance(program, CompiledProgram):
        if options:
            raise MeshlangError(
                Diagnostic(
                    "MS0951",
                    f"a compiled program takes no `{next(iter(options))}`: it is compiled already",
                    help="give it to meshlang.compile, or the layout's path here",
                )
            )
        return program
    return compile_program(program, **options)


class Run(NamedTuple):
    """What came of a run. result: what `work` returned; error: the fault or deadlock that ended it."""

    result: Any
    error: MeshlangError | None


def _run(fabric: FabricHandle, work: Work | None) -> Run:
    """What the program does under the eyes of a recorder. A mistake of `work` is raised; what ends the machine's run is
    warned of and returned, because what was recorded shows it."""
    result = None
    try:
        if work is not None:
            result = work(fabric)
        else:
            from meshlang.host.symbols import Symbols

            functions = [s for s in Symbols(fabric.program.ir).all if s.kind == "fn"]
            if len(functions) == 1 and not functions[0].params:
                fabric.launch(functions[0].name)
        fabric.run()
    except MeshlangError as error:
        if error is not fabric.session.failed and error.machine is not fabric.session.machine:
            raise
        d = error.diagnostics[0]
        warnings.warn(f"the run ended with {d.code}: {d.message} (all of it: `.error`)", stacklevel=4)
        return Run(None, error)
    return Run(result, None)


# ---------------------------------------------------------------- report


class Report(_Shown):
    """Where the cycles of a run went and what it uses of the machine. data: the numbers (docs/report.md)."""

    def __init__(self, data: dict[str, Any], run: Run):
        self.data = data
        self.result, self.error = run

    @property
    def text(self) -> str:
        from rich.console import Console

        from .report import render

        out = io.StringIO()
        # in a notebook rich would show each line at once, and leave the file empty; FORCE_COLOR is set there
        plain = Console(file=out, width=120, highlight=False, force_jupyter=False, force_terminal=False)
        render([self.data], console=plain)
        return out.getvalue().strip("\n")


@public
def report(
    program: CompiledProgram | str | Path, work: Work | None = None, *, wafer: str | None = None, **options: Any
) -> Report:
    """Run a program and report it, as `meshlang report` does. wafer: "wse2" or "wse3", the machine to compare with."""
    from .report import RECORDED, Collector, summarize

    fabric = _program(program, options).start(trace=RECORDED)
    collector = Collector.of(fabric.session)
    run = _run(fabric, work)
    collector.finish()
    return Report(summarize(collector, wafer), run)


# ---------------------------------------------------------------- profile


class Profile(_Shown):
    """Where the cycles of a run went: tasks, functions, lines, stalls. data: as `meshlang profile --json` has it."""

    def __init__(self, profile: Any, run: Run):
        from .profile.report import as_data

        self.profile = profile
        self.data: dict[str, Any] = as_data(profile)
        self.result, self.error = run

    @property
    def text(self) -> str:
        from .profile import report

        return report(self.profile)

    @property
    def lines(self) -> str:
        """The source, with the cycles of each line."""
        from .profile import listing

        return listing(self.profile)

    def speedscope(self, file: str | Path) -> None:
        """Write the call stacks for speedscope.app."""
        from meshlang import files

        from .profile import speedscope

        files.write_text(file, json.dumps(speedscope(self.profile)))


@public
def profile(program: CompiledProgram | str | Path, work: Work | None = None, **options: Any) -> Profile:
    """Run a program and profile it, as `meshlang profile` does."""
    from .profile import Collector, profile_options

    fabric = _program(program, options).start(trace=profile_options())
    collector = Collector(fabric.session.machine)
    run = _run(fabric, work)
    return Profile(collector.result(), run)


# ---------------------------------------------------------------- trace


class Trace(_Shown):
    """The events of a run. events: a structured array (docs/traces.md); trace: the inspect.trace.Trace."""

    def __init__(self, trace: Any, run: Run):
        self.trace = trace
        self.result, self.error = run

    @property
    def events(self) -> Any:
        return self.trace.events

    def save(self, file: str | Path) -> None:
        """Write it; the ending chooses the format: .html .svg .anim.svg .perfetto-trace .log .vcd .npz .csv."""
        from .trace import export

        export(self.trace, file)

    @property
    def text(self) -> str:
        return f"{len(self.events):,} events of {self.trace.program.source}; save('run.html') to look at them"

    def _repr_html_(self) -> str:
        from html import escape

        from .trace.html import write_html

        page = io.BytesIO()
        write_html(self.trace, page)
        return (
            f'<iframe srcdoc="{escape(page.getvalue().decode())}" width="100%" height="640" style="border:0"></iframe>'
        )


@public
def trace(
    program: CompiledProgram | str | Path,
    work: Work | None = None,
    *,
    record: TraceOptions | None = None,
    **options: Any,
) -> Trace:
    """Run a program and record what its fabric does. record: what to record (inspect.trace.trace_options); None: all
    but single instructions."""
    from .trace import Trace as Events
    from .trace import trace_options

    fabric = _program(program, options).start(trace=trace_options() if record is None else record)
    run = _run(fabric, work)
    return Trace(Events.of(fabric.session.machine, run.error), run)


# ---------------------------------------------------------------- lint, why, explain


class Findings(list[Diagnostic]):
    """Diagnostics, which print as the command prints them."""

    def __str__(self) -> str:
        from meshlang.diag.render import to_text

        return to_text(self) if self else "nothing to warn about"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return text_html(str(self))


@public
def lint(program: CompiledProgram | str | Path, **options: Any) -> Findings:
    """What compiles and still cannot work on the machine. A path is compiled without optimisation, which is clearest."""
    from .lint import lint as found

    if not isinstance(program, CompiledProgram):
        options = {"optimise": 0, **options}
    return Findings(found(_program(program, options).ir))


class Why(_Shown):
    """Why a machine stands still. hung: whether it does; causes: what is wrong, in words; data: all of it."""

    def __init__(self, explanation: Any):
        from .why import RULES, as_data

        self.explanation = explanation
        self.hung: bool = explanation.hung
        self.causes = [RULES[name].title for name in explanation.causes()]
        self.data: dict[str, Any] = as_data(explanation)

    @property
    def text(self) -> str:
        from .why import explanation_lines

        return "\n".join(line for line, _ in explanation_lines(self.explanation))


@overload
def why(what: MeshlangError) -> Why | None: ...
@overload
def why(what: FabricHandle) -> Why: ...
def why(what: FabricHandle | MeshlangError) -> Why | None:
    """Why a fabric does not go on; of an error, what it found out: None where no machine stood still."""
    from .why import explain as explained

    found = what.explain() if isinstance(what, MeshlangError) else explained(what.session.machine)
    return Why(found) if found is not None else None


class Page(str):
    """A page of the catalogue, in Markdown."""

    def _repr_markdown_(self) -> str:
        return str(self)


@public
def explain(code: str | int | Diagnostic) -> Page:
    """The page of a diagnostic code: "MS0301", 301, or a diagnostic. MS0920 for what is none."""
    from meshlang.diag import catalog

    text = code.code if isinstance(code, Diagnostic) else str(code)
    wanted = f"MS{text.upper().removeprefix('MS'):0>4}"
    found = catalog.page(wanted)
    if found is None:
        raise MeshlangError(
            Diagnostic("MS0920", f"no diagnostic has the code {text!r}", help="`meshlang explain` lists all codes"),
            exit_code=2,
        )
    return Page(found)


__all__: Sequence[str] = ("explain", "lint", "profile", "report", "trace", "why")
