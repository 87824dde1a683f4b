"""Points and rectangles of PEs, for SdkLayout."""

from meshlang.host.sdk.layout.geometry import IntRectangle, IntVector

__all__ = ["IntRectangle", "IntVector"]
