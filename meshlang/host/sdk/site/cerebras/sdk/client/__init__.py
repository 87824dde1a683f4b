"""The appliance client: not yet supported, except for sdk_utils."""

from cerebras.sdk import sdk_utils
from meshlang.host.sdk.unsupported import placeholder

_HELP = "use cslc and SdkRuntime of cerebras.sdk.runtime.sdkruntimepybind"
SdkCompiler = placeholder("cerebras.sdk.client.SdkCompiler", _HELP)
SdkLauncher = placeholder("cerebras.sdk.client.SdkLauncher", _HELP)
SdkRuntime = placeholder("cerebras.sdk.client.SdkRuntime", _HELP)

__all__ = ["SdkCompiler", "SdkLauncher", "SdkRuntime", "sdk_utils"]
