"""The runtime before memcpy: it fed tensors in along the edges of a program."""

from meshlang.host.sdk.unsupported import not_yet


def CSELFRunner(*args, **kwargs):
    raise not_yet(
        "CSELFRunner, the host runtime before memcpy",
        "move tensors with <memcpy> and SdkRuntime, as SDK 0.6 and later do",
    )
