"""MeshLang: a CSL-compatible language and fabric interpreter for wafer-scale machines.

The host API (see docs and `meshlang/host/api.py`):

    program = meshlang.compile("layout.csl", params={"P": 8})
    with program.start() as fabric:
        fabric.write("X", x)
        fabric.launch("main")
        y = fabric.read("y")

Names are loaded on first use: `import meshlang` must not load numba, lark or numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .diag import Diagnostic, MeshlangError
from .version import __version__

if TYPE_CHECKING:
    from .host.api import CompiledProgram, FabricHandle, compile, load
    from .host.compare import largest_error
    from .host.context import RunContext, params, run_context
    from .inspect.api import explain, lint, profile, report, trace, why
    from .models import llama, llama_reference, placement

_LAZY = {
    "compile": "meshlang.host.api",
    "load": "meshlang.host.api",
    "CompiledProgram": "meshlang.host.api",
    "FabricHandle": "meshlang.host.api",
    "largest_error": "meshlang.host.compare",
    "params": "meshlang.host.context",
    "run_context": "meshlang.host.context",
    "RunContext": "meshlang.host.context",
    "explain": "meshlang.inspect.api",
    "lint": "meshlang.inspect.api",
    "profile": "meshlang.inspect.api",
    "report": "meshlang.inspect.api",
    "trace": "meshlang.inspect.api",
    "why": "meshlang.inspect.api",
    # for %load_ext meshlang
    "load_ipython_extension": "meshlang.inspect.notebook",
    "unload_ipython_extension": "meshlang.inspect.notebook",
}
_LAZY_MODULES = {name: f"meshlang.models.{name}" for name in ("llama", "llama_reference", "placement")}

__all__ = [
    "CompiledProgram",
    "Diagnostic",
    "FabricHandle",
    "MeshlangError",
    "RunContext",
    "__version__",
    "compile",
    "explain",
    "largest_error",
    "lint",
    "llama",
    "llama_reference",
    "load",
    "params",
    "placement",
    "profile",
    "report",
    "run_context",
    "trace",
    "why",
]


def _explain(error: MeshlangError) -> Any:
    """Why a machine stands still, added to the error's diagnostic."""
    from .inspect.why import annotate, explain

    explanation = explain(error.machine, error.until)
    annotate(error.diagnostics[0], explanation)
    return explanation


MeshlangError.explainer = _explain


def __getattr__(name: str) -> Any:
    if name in _LAZY_MODULES:
        value: Any = import_module(_LAZY_MODULES[name])
    elif name in _LAZY:
        value = getattr(import_module(_LAZY[name]), name)
    else:
        raise AttributeError(f"module 'meshlang' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
