"""SdkRuntime, SdkLayout, and what goes with them."""

from meshlang.host.sdk.layout.artifacts import SdkCompileArtifacts
from meshlang.host.sdk.layout.color import Color
from meshlang.host.sdk.layout.directions import Edge, EdgeRouteInfo, Route, RoutingPosition, get_edge_routing
from meshlang.host.sdk.layout.platform import (
    FP16TYPE,
    SdkExecutionPlatform,
    SdkTarget,
    SimfabConfig,
    get_platform,
    get_simulator,
    get_system,
)
from meshlang.host.sdk.layout.region import CodeRegion, PortHandle
from meshlang.host.sdk.layout.sdklayout import SdkLayout
from meshlang.host.sdk.runtime import MemcpyDataType, MemcpyOrder, SdkRuntime
from meshlang.host.session import Task

__all__ = [
    "FP16TYPE",
    "CodeRegion",
    "Color",
    "Edge",
    "EdgeRouteInfo",
    "MemcpyDataType",
    "MemcpyOrder",
    "PortHandle",
    "Route",
    "RoutingPosition",
    "SdkCompileArtifacts",
    "SdkExecutionPlatform",
    "SdkLayout",
    "SdkRuntime",
    "SdkTarget",
    "SimfabConfig",
    "Task",
    "get_edge_routing",
    "get_platform",
    "get_simulator",
    "get_system",
]
