"""Static warnings for what hardware lets pass silently: `lint(program)` gives them as diagnostics of severity
"warning".

`facts.py` reads the compiled code of a tile program for constants; `checks.py` has one function a warning. A check is
silent where it would have to guess: what is computed at run time counts as right.
"""

from __future__ import annotations

from .checks import CHECKS, lint
from .fixes import fix_all
from .kinds import BREAKS, CHECKED, fresh, suppressed

__all__ = ["BREAKS", "CHECKED", "CHECKS", "fix_all", "fresh", "lint", "suppressed"]
