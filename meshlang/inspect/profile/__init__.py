"""Profiles: where the cycles of a run went, by task, function, source line and PE.

options = profile_options()
machine = Machine(program, trace=options)
collector = Collector(machine)
... run ...
profile = collector.result()
"""

from __future__ import annotations

from .collect import Collector, Profile, profile_options
from .report import listing, report
from .speedscope import speedscope

__all__ = ["Collector", "Profile", "listing", "profile_options", "report", "speedscope"]
