"""Readers of what a run of CSELFRunner left behind."""

from meshlang.host.sdk.unsupported import not_yet


def read_trace(*args, **kwargs):
    raise not_yet(
        "csl_utils.read_trace, of the host runtime before memcpy",
        "after a run of SdkRuntime: debug_util(name).read_trace(x, y, key)",
    )
