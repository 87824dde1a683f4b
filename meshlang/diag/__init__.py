"""Diagnostics are data; the renderers turn them into text or JSON.

Codes: MS01xx syntax; MS02xx names, modules, params; MS03xx types, values, comptime; MS04xx tasks, queues, colors;
MS05xx DSDs, DSRs and their operations; MS06xx layout and routes; MS07xx resources (memory, ids, stack);
MS08xx run-time faults of a program; MS09xx host, command line, files.
Every code has a page in `catalog.md`; `meshlang explain CODE` prints it.
"""

from .core import Diagnostic, Diagnostics, Label, MeshlangError, usage_error
from .nearest import did_you_mean, nearest

__all__ = ["Diagnostic", "Diagnostics", "Label", "MeshlangError", "did_you_mean", "nearest", "usage_error"]
