"""The PLMR report of a run: where its cycles went, and what it uses of the machine.

A `Collector` listens to a session (collect.py, counting.py), `summarize` makes a dictionary of it (summary.py,
memory.py, wafer.py), and `render` prints that (text.py).
"""

from .collect import RECORDED, Collector
from .summary import summarize
from .text import render, render_growth
from .wafer import WAFERS, growth

__all__ = ["RECORDED", "WAFERS", "Collector", "growth", "render", "render_growth", "summarize"]
