"""The enums of the appliance's protocol."""

from meshlang.host.sdk.runtime import MemcpyDataType, MemcpyOrder

__all__ = ["MemcpyDataType", "MemcpyOrder"]
