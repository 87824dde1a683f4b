"""Variables and traces of a stopped run."""

from meshlang.host.sdk.debug import debug_util

__all__ = ["debug_util"]
