"""The appliance client, on this machine."""

from cerebras.sdk import sdk_utils
from meshlang.host.sdk.appliance import SdkCompiler, SdkLauncher, SdkRuntime
from meshlang.host.session import Task

__all__ = ["SdkCompiler", "SdkLauncher", "SdkRuntime", "Task", "sdk_utils"]
