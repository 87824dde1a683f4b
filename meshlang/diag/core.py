"""The collector of diagnostics, and the one exception that carries them."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from typing import Any, ClassVar

from .records import Diagnostic, Label


class MeshlangError(Exception):
    """Anything that is the user's to mend. Carries at least one diagnostic of severity "error".

    exit_code: 1 the program is wrong or failed, 2 usage, 3 deadlock. machine, until: the fabric
    (fabric.machine.Machine) that hangs or takes too long, and what it should have run to, for explanations.
    `str(error)` is the text that the commands print; `diagnostics` are the same as data.
    """

    # Finds out why `machine` stands still, adds it to the first diagnostic and returns it. It stands far above this
    # room (inspect.why); the package puts it here.
    explainer: ClassVar[Callable[[MeshlangError], Any] | None] = None

    def __init__(self, *diagnostics: Diagnostic, exit_code: int = 1):
        super().__init__("; ".join(f"{d.code}: {d.message}" for d in diagnostics))
        self.diagnostics = list(diagnostics)
        self.exit_code = exit_code
        self.machine: Any = None
        self.until: Any = None
        self._explanation: Any = None

    def explain(self) -> Any:
        """Why the machine stands still (inspect.why.Explanation), looked for once; None where there is none."""
        look = type(self).explainer
        if self.machine is not None and self._explanation is None and look is not None:
            self._explanation = look(self)
        return self._explanation

    def __str__(self) -> str:
        from .render import to_text

        return to_text(self.diagnostics) if self.diagnostics else super().__str__()

    def _render_traceback_(self) -> list[str]:
        """What IPython shows: the caller's frames, none of ours, and the text."""
        package = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
        frames = [f for f in traceback.extract_tb(self.__traceback__) if not f.filename.startswith(package)]
        own = [f for f in frames if "IPython" not in f.filename]
        return [*(line.rstrip("\n") for line in traceback.format_list(own)), *str(self).split("\n")]


MeshlangError.__module__ = "meshlang"  # what tracebacks call it, and where users import it from


def usage_error(message: str, help: str | None = None, code: str = "MS0905") -> MeshlangError:
    """An option that cannot be understood: exit code 2."""
    return MeshlangError(Diagnostic(code, message, help=help), exit_code=2)


class Diagnostics:
    """Collects diagnostics, so that one run reports all it can find."""

    def __init__(self, limit: int = 50):
        self.items: list[Diagnostic] = []
        self.limit = limit
        self._seen: set[tuple] = set()

    def add(self, diagnostic: Diagnostic) -> None:
        """Add once: the same code and message at the same place is reported a single time."""
        span = diagnostic.span
        key = (diagnostic.code, diagnostic.message, span and (span.file.path, span.start))
        if key in self._seen:
            return
        self._seen.add(key)
        self.items.append(diagnostic)
        if sum(d.severity == "error" for d in self.items) >= self.limit:
            self.raise_if_errors()

    @property
    def errors(self) -> list[Diagnostic]:
        return [d for d in self.items if d.severity == "error"]

    def raise_if_errors(self) -> None:
        if self.errors:
            raise MeshlangError(*self.items)


__all__ = ["Diagnostic", "Diagnostics", "Label", "MeshlangError", "usage_error"]
