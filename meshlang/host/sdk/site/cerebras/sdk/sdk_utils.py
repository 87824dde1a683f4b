"""Conversions of host arrays."""

from meshlang.host.sdk.utils import calculate_cycles, input_array_to_u32, memcpy_view

__all__ = ["calculate_cycles", "input_array_to_u32", "memcpy_view"]
