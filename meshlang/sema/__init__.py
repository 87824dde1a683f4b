"""Analysis: from syntax trees to a Program (types, comptime evaluation, layout, lowering)."""

from typing import Any


def compile_program(*args: Any, **kwargs: Any):
    """See `compiler.compile_program`. Imported on demand, so that `import meshlang` stays light."""
    from .compiler import compile_program as run

    return run(*args, **kwargs)


__all__ = ["compile_program"]
