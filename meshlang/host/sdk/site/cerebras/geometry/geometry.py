"""Geometry of SdkLayout: not yet supported."""

from meshlang.host.sdk.unsupported import placeholder

IntVector = placeholder("cerebras.geometry.IntVector")
IntRectangle = placeholder("cerebras.geometry.IntRectangle")
