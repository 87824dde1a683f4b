"""The PLMR report of a run: where its cycles went, and what it uses of the machine.

A `Collector` listens to a session (collect.py, counting.py), `summarize` makes a dictionary of it (summary.py,
memory.py, wafer.py), and `render` prints that (text.py).
"""

from .collect import RECORDED, Collector
from .summary import summarize
from .text import render
from .wafer import WAFERS

__all__ = ["RECORDED", "WAFERS", "Collector", "render", "summarize"]
