"""Traces: recorded events with the program they belong to, and their exporters, chosen by the ending of the file.

    trace = Trace.of(machine)           # a machine with a recorder
    export(trace, "run.perfetto-trace")

| ending | format | module |
|---|---|---|
| .perfetto-trace, .pftrace, .perfetto | Perfetto (protobuf): ui.perfetto.dev | perfetto |
| .log | lines in the frame of the vendor's sim.log | simlog |
| .vcd | value change dump, for waveform viewers | vcd |
| .npz | numpy columns | columns |
| .csv | text columns | columns |
| .html | one page to look at a run in a browser | html |
| .svg, .anim.svg | a picture, and one that moves | picture |
"""

from __future__ import annotations

from .export import ENDINGS, ending_of, export, writer_for
from .model import Trace
from .options import trace_options

__all__ = ["ENDINGS", "Trace", "ending_of", "export", "trace_options", "writer_for"]
