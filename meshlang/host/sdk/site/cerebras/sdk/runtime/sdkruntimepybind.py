"""SdkRuntime and its enums; SdkLayout and its kin raise a clear error when used."""

from meshlang.host.sdk.runtime import MemcpyDataType, MemcpyOrder, SdkRuntime
from meshlang.host.sdk.unsupported import placeholder

_LATER = (
    "Color",
    "CodeRegion",
    "Edge",
    "FP16TYPE",
    "Route",
    "RoutingPosition",
    "SdkCompileArtifacts",
    "SdkExecutionPlatform",
    "SdkLayout",
    "SdkTarget",
    "SimfabConfig",
    "Task",
    "get_edge_routing",
    "get_platform",
    "get_simulator",
    "get_system",
)

__all__ = ["MemcpyDataType", "MemcpyOrder", "SdkRuntime"]


def __getattr__(name):
    if name in _LATER:
        return placeholder(f"sdkruntimepybind.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
