"""Port maps of early SDKs."""

from meshlang.host.sdk.port_maps import convert_input_tensor, format_output_tensor, prepare_output_tensor

__all__ = ["convert_input_tensor", "format_output_tensor", "prepare_output_tensor"]
