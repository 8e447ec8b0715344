"""Which TensorRT a graph is for: release, device and whether a DLA core runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgecv_cli.core.errors import UsageError

Generation = Literal["8.6", "10", "11", "rtx"]
GENERATIONS: tuple[Generation, ...] = ("8.6", "10", "11", "rtx")


@dataclass(frozen=True)
class Device:
    """A device by the name that ``--device`` takes.

    Attributes:
        name: that name.
        says: what it is.
        releases: the classic TensorRT releases (major) that it can have; empty: TensorRT-RTX.
        release: the release that is assumed where none is named.
        dla: whether a deep learning accelerator core runs the network.
    """

    name: str
    says: str
    releases: tuple[int, ...]
    release: tuple[int, int]
    dla: bool = False


# JetPack 6.2 has TensorRT 10.3, JetPack 5 the last releases of TensorRT 8.
DEVICES = {
    device.name: device
    for device in (
        Device("rtx", "GeForce RTX or RTX PRO card, by TensorRT-RTX", (), (1, 7)),
        Device("gpu", "any other NVIDIA GPU, by classic TensorRT", (8, 10, 11), (10, 16)),
        Device("jetson-orin", "GPU of a Jetson Orin", (8, 10, 11), (10, 3)),
        Device("jetson-xavier", "GPU of a Jetson Xavier", (8,), (8, 6)),
        Device("jetson-thor", "GPU of a Jetson Thor", (10, 11), (10, 16)),
        Device("dla", "DLA core of a Jetson Orin or Xavier", (8, 10, 11), (10, 3), dla=True),
    )
}


@dataclass(frozen=True)
class TrtTarget:
    """What the rules are asked about.

    Attributes:
        device: its name in ``DEVICES``.
        release: (major, minor) of TensorRT, or of TensorRT-RTX.
        generation: the column of the rules that holds.
        dla: whether a DLA core runs the network.
        precision: the precision that was asked for; None: the graph's own.
    """

    device: str
    release: tuple[int, int]
    generation: Generation
    dla: bool = False
    precision: str | None = None

    @property
    def rtx(self) -> bool:
        """Whether TensorRT-RTX builds it."""
        return self.generation == "rtx"

    @property
    def strong(self) -> bool:
        """Whether precision can only come from the graph (strongly typed networks)."""
        return self.generation in ("11", "rtx")

    def by_graph(self, quantized: bool) -> bool:
        """Whether the graph alone decides: in 10.x where it holds Q/DQ, but for DLA cores."""
        return self.strong or (quantized and self.generation == "10" and not self.dla)

    @property
    def label(self) -> str:
        """What messages call it."""
        product = "TensorRT-RTX" if self.rtx else "TensorRT"
        on = " on a DLA core" if self.dla else ""
        return f"{product} {self.release[0]}.{self.release[1]}{on}"


def target_of(device: str | None, version: str | None, precision: str | None = None) -> TrtTarget:
    """Return the target that options name.

    A version alone means a GPU with classic TensorRT; neither means TensorRT-RTX.

    Args:
        device: a name of ``DEVICES``, or None.
        version: ``10.3``, ``8.6.1``, ``11``, or None for what the device usually has.
        precision: the precision that was asked for, or None.

    Raises:
        UsageError: no such device or release, or the device never has that release.
    """
    found = DEVICES.get(device or ("rtx" if version is None else "gpu"))
    if found is None:
        raise UsageError(
            f"--device '{device}' is not known", remedy=f"name one of: {', '.join(DEVICES)}"
        )
    if not found.releases:
        if version is not None:
            raise UsageError(
                f"--trt-version {version} does not go with --device rtx: TensorRT-RTX has releases "
                "of its own",
                remedy="leave --trt-version out, or name --device gpu",
            )
        return TrtTarget(found.name, found.release, "rtx", precision=precision)
    release = found.release if version is None else _release(version)
    if release[0] not in found.releases:
        majors = ", ".join(f"{major}.x" for major in found.releases)
        raise UsageError(
            f"--device {found.name} has no TensorRT {version}",
            remedy=f"name a release of: {majors}",
        )
    names: dict[int, Generation] = {8: "8.6", 10: "10", 11: "11"}
    return TrtTarget(found.name, release, names[release[0]], found.dla, precision)


def _release(version: str) -> tuple[int, int]:
    parts = version.split(".")
    numbers = [int(part) for part in parts if part.isascii() and part.isdigit() and len(part) < 5]
    if len(numbers) != len(parts) or not 1 <= len(parts) <= 4:
        raise UsageError(f"--trt-version '{version}' is no version", remedy="write 10.3, for one")
    major, minor = (*numbers, 0)[:2]
    if major not in (8, 10, 11) or (major == 8 and len(numbers) > 1 and minor < 6):
        raise UsageError(
            f"there are no rules for TensorRT {version}",
            remedy="name 8.6, or a release of 10.x or 11.x",
        )
    return major, 6 if major == 8 else minor
