"""What a program runs on. MeshLang has one machine; the vendor's simulator options are accepted and change nothing,
except for cores."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from meshlang.host.sdk.unsupported import not_yet

from .source import fail


class SdkTarget(Enum):
    """The architecture."""

    WSE2 = 0
    WSE3 = 1

    @property
    def arch(self) -> str:
        return "wse2" if self is SdkTarget.WSE2 else "wse3"


# width and height of the fabric a program may use: the --fabric-dims of the vendor's documentation for a whole wafer
FABRIC = {SdkTarget.WSE2: (757, 996), SdkTarget.WSE3: (762, 1172)}


@dataclass
class SimfabConfig:
    """Options of the simulator. dump_core: write a core file (core_path, else out.core) when the run stops."""

    num_threads: int = 16
    suppress_trace: bool = False
    dump_core: bool = False
    core_path: str | os.PathLike | None = None

    @property
    def core(self) -> Path | None:
        """Where a core file is wanted."""
        return Path(self.core_path or "out.core") if self.dump_core else None


class FP16TYPE(Enum):
    """The format of 16-bit floats."""

    F16 = "f16"
    BF16 = "bf16"
    CB16 = "cb16"


@dataclass(frozen=True)
class SdkExecutionPlatform:
    """What a program runs on: always the fabric interpreter."""

    target: SdkTarget = SdkTarget.WSE3
    config: SimfabConfig = field(default_factory=SimfabConfig)

    def is_simulation(self) -> bool:
        return True

    def is_system(self) -> bool:
        return False


def get_simulator(config: SimfabConfig | None = None, target: SdkTarget = SdkTarget.WSE3) -> SdkExecutionPlatform:
    """The fabric interpreter as platform. MS0951 for a config or target that is none."""
    if config is not None and not isinstance(config, SimfabConfig):
        fail("MS0951", f"expected a SimfabConfig, found {config!r}")
    if not isinstance(target, SdkTarget):
        fail("MS0951", f"expected SdkTarget.WSE2 or SdkTarget.WSE3, found {target!r}")
    return SdkExecutionPlatform(target, config or SimfabConfig())


def get_platform(
    cmaddr: str | None = None, config: SimfabConfig | None = None, target: SdkTarget = SdkTarget.WSE3
) -> SdkExecutionPlatform:
    """The platform. MS0922 with a cmaddr: there is no real system."""
    if cmaddr:
        return get_system(cmaddr)
    return get_simulator(config, target)


def get_system(cmaddr: str) -> SdkExecutionPlatform:
    """Refused with MS0922: there is no real system."""
    raise not_yet(f"running on a real system (cmaddr={cmaddr!r})", "leave cmaddr out to run on the fabric interpreter")


def platform_of(value: object) -> SdkExecutionPlatform:
    """What SdkLayout and SdkRuntime take as platform: one, or a target alone. MS0951."""
    if isinstance(value, SdkExecutionPlatform):
        return value
    if isinstance(value, SdkTarget):
        return SdkExecutionPlatform(value)
    if isinstance(value, (str, os.PathLike)):
        raise not_yet(f"a fabric description file ({value})", "use get_platform(config=..., target=SdkTarget.WSE3)")
    fail("MS0951", f"expected a platform, found {value!r}", help="get_platform(None, SimfabConfig(), SdkTarget.WSE3)")
