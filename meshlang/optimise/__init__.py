"""Passes over the code of tile programs: same results, outputs and faults, fewer instructions."""

from .driver import PASSES, optimise

__all__ = ["PASSES", "optimise"]
