"""Accelerators, as the kernel shows them: no vendor library is needed to see them.

Sources: Linux ``Documentation/ABI/testing/sysfs-bus-pci`` and ``sysfs-bus-usb``; the PCI ID
list for vendors; Google's Coral documentation for 1a6e:089a (before its firmware is loaded)
and 18d1:9302 (after).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import Field

from edgecv_cli.core.result import Part

_NVIDIA = "0x10de"
_VENDORS = {"0x8086": "Intel", "0x1002": "AMD", _NVIDIA: "NVIDIA"}
_DISPLAY_CLASS = "0x03"  # PCI base class: display controllers, 3D controllers among them
_CORAL_USB = frozenset({("1a6e", "089a"), ("18d1", "9302")})
_DRIVER_VERSION = re.compile(r"\b\d{3}\.\d+(?:\.\d+)?\b")


class Accelerator(Part):
    """A device that could run a network faster than the CPU, or the board it sits on."""

    kind: str = Field(
        description="nvidia-gpu, intel-gpu, amd-gpu, intel-npu, edge-tpu, hailo, jetson, "
        "raspberry-pi."
    )
    name: str
    where: str = Field(description="Device file or kernel path that shows it.")
    driver: str | None = Field(None, description="Version of the kernel driver.")
    usable: bool = Field(True, description="Whether this user may open it.")


MayOpen = Callable[[Path], bool]


def _may_open(path: Path) -> bool:
    return os.access(path, os.R_OK | os.W_OK)


def accelerators(root: Path = Path("/"), may_open: MayOpen = _may_open) -> tuple[Accelerator, ...]:
    """Return what the kernel shows below ``root`` (dev, etc, proc, sys)."""
    return (
        *_boards(root),
        *_nvidia(root, may_open),
        *_graphics(root, may_open),
        *_npus(root, may_open),
        *_coral(root, may_open),
        *_device_files(root, "hailo[0-9]*", "hailo", "Hailo accelerator", may_open),
    )


def _boards(root: Path) -> Iterator[Accelerator]:
    model = _read(root / "proc/device-tree/model").strip("\0 \n")
    release = root / "etc/nv_tegra_release"
    if release.exists() or "Jetson" in model:
        version = re.search(r"R(\d+).*?REVISION: ([\d.]+)", _read(release))
        yield Accelerator(
            kind="jetson",
            name=model or "NVIDIA Jetson",
            where=str(release if release.exists() else root / "proc/device-tree/model"),
            driver=f"L4T {version[1]}.{version[2]}" if version else None,
        )
    elif model.startswith("Raspberry Pi"):
        where = str(root / "proc/device-tree/model")
        yield Accelerator(kind="raspberry-pi", name=model, where=where)


def _nvidia(root: Path, may_open: MayOpen) -> Iterator[Accelerator]:
    files = sorted((root / "dev").glob("nvidia[0-9]*"))
    named = _DRIVER_VERSION.search(_read(root / "proc/driver/nvidia/version"))
    driver = named[0] if named else None
    models = [
        match[1].strip()
        for info in sorted((root / "proc/driver/nvidia/gpus").glob("*/information"))
        if (match := re.search(r"^Model:(.*)$", _read(info), re.MULTILINE))
    ]
    for index, file in enumerate(files):
        name = models[index] if len(models) == len(files) else "NVIDIA GPU"
        yield Accelerator(
            kind="nvidia-gpu", name=name, where=str(file), driver=driver, usable=may_open(file)
        )
    if not files:
        yield from _without_driver(root)


def _without_driver(root: Path) -> Iterator[Accelerator]:
    """Yield NVIDIA cards on the bus that no device file leads to."""
    for device in sorted((root / "sys/bus/pci/devices").glob("*")):
        vendor, kind = _read(device / "vendor").strip(), _read(device / "class").strip()
        if vendor == _NVIDIA and kind.startswith(_DISPLAY_CLASS):
            yield Accelerator(kind="nvidia-gpu", name="NVIDIA GPU", where=str(device), usable=False)


def _graphics(root: Path, may_open: MayOpen) -> Iterator[Accelerator]:
    for file in sorted((root / "dev/dri").glob("renderD*")):
        vendor = _VENDORS.get(_read(root / "sys/class/drm" / file.name / "device/vendor").strip())
        if vendor in ("Intel", "AMD"):
            yield Accelerator(
                kind=f"{vendor.lower()}-gpu",
                name=f"{vendor} GPU",
                where=str(file),
                usable=may_open(file),
            )


def _npus(root: Path, may_open: MayOpen) -> Iterator[Accelerator]:
    for file in sorted((root / "dev/accel").glob("accel[0-9]*")):
        vendor = _read(root / "sys/class/accel" / file.name / "device/vendor").strip()
        if _VENDORS.get(vendor) == "Intel":
            yield Accelerator(
                kind="intel-npu", name="Intel NPU", where=str(file), usable=may_open(file)
            )


def _coral(root: Path, may_open: MayOpen) -> Iterator[Accelerator]:
    yield from _device_files(root, "apex_[0-9]*", "edge-tpu", "Coral Edge TPU (PCIe)", may_open)
    for device in sorted((root / "sys/bus/usb/devices").glob("*")):
        ids = (_read(device / "idVendor").strip(), _read(device / "idProduct").strip())
        if ids in _CORAL_USB:
            yield Accelerator(kind="edge-tpu", name="Coral Edge TPU (USB)", where=str(device))


def _device_files(
    root: Path, pattern: str, kind: str, name: str, may_open: MayOpen
) -> Iterator[Accelerator]:
    for file in sorted((root / "dev").glob(pattern)):
        yield Accelerator(kind=kind, name=name, where=str(file), usable=may_open(file))


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
