"""Why nothing moves: explain() follows what waits to the root (walk.py); rules.py says what each root is called and
what to change."""

from .explanation import explain
from .findings import Explanation, Finding
from .rules import RULES, Rule
from .text import annotate, as_data, explanation_lines

__all__ = ["RULES", "Explanation", "Finding", "Rule", "annotate", "as_data", "explain", "explanation_lines"]
