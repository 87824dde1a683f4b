"""SdkRuntime, SdkLayout, and what goes with them."""

import os

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


class _Recording:
    """inspect/trace/vendor.py, imported where it is wanted."""

    @staticmethod
    def options(suppress):
        if suppress is None and not os.environ.get("SIMFABRIC_DEBUG"):
            return None
        from meshlang.inspect.trace import vendor

        return vendor.options(suppress)

    @staticmethod
    def write(session, folder):
        from meshlang.inspect.trace import vendor

        vendor.write(session, folder)


SdkRuntime.recording = _Recording()

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
