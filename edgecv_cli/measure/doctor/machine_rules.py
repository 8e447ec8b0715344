"""Rules on processor, memory, disks and accelerators."""

from __future__ import annotations

from collections.abc import Iterator

from edgecv_cli.measure.doctor.accelerators import Accelerator
from edgecv_cli.measure.doctor.findings import Finding, Rule
from edgecv_cli.measure.doctor.host import Disk
from edgecv_cli.measure.doctor.snapshot import EngineState, Snapshot

_GIB = 2**30
_LITTLE_MEMORY = 1.5 * _GIB
_LITTLE_DISK = 10**9
_VNNI = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})

# Kind of accelerator -> the engines that drive it, and what to install where none is there.
_DRIVEN_BY: dict[str, tuple[tuple[str, ...], str]] = {
    "nvidia-gpu": (("tensorrt", "tensorrt-rtx"), "pip install tensorrt"),
    "jetson": (("tensorrt",), "apt-get install nvidia-jetpack"),
    "intel-gpu": (("openvino",), "pip install openvino"),
    "intel-npu": (("openvino",), "pip install openvino"),
    "edge-tpu": (("litert",), "pip install ai-edge-litert, and apt-get install libedgetpu1-std"),
}
_PERMISSION = {
    "nvidia-gpu": "install the driver (nvidia-smi must work); in a container add --gpus all",
    "intel-gpu": 'sudo usermod -aG render "$USER", then log in again',
    "amd-gpu": 'sudo usermod -aG render "$USER", then log in again',
    "intel-npu": 'sudo usermod -aG render "$USER", then log in again',
    "edge-tpu": 'sudo usermod -aG apex "$USER", then log in again',
}


def processor(seen: Snapshot) -> Iterator[Finding]:
    """Yield the processor with the instructions that int8 kernels are made of."""
    machine = seen.machine
    sets = frozenset(machine.instruction_sets)
    text = f"{machine.cpu}: {' '.join(machine.instruction_sets) or 'no int8 instructions known'}"
    if "x86_64" not in machine.os:
        weak = "neon" in sets and "dotprod" not in sets
        note = "; without dotprod int8 gains little" if weak else ""
        yield Finding(level="info" if weak else "ok", name="processor", found=text + note)
    elif "avx2" not in sets:
        yield Finding(
            level="warning",
            name="processor",
            found=f"{text}; without AVX2 int8 is not expected to gain time",
            remedy="expect smaller files, not faster ones: --prefer accuracy",
        )
    elif not sets & _VNNI:
        yield Finding(
            level="info",
            name="processor",
            found=f"{text}; without VNNI, pairs of int8 products are added in 16 bits, so "
            "that --target cpu keeps neighbouring weights small enough for them",
        )
    else:
        yield Finding(level="ok", name="processor", found=text)


def cores(seen: Snapshot) -> Iterator[Finding]:
    """Yield the cores, and what a mask or a container takes of them."""
    usable, present = seen.host.cores_usable, seen.host.cores_present
    if present is not None and usable < present:
        found = f"{usable} of {present} usable: a container's quota or a processor mask"
        yield Finding(level="info", name="cores", found=found)
    else:
        yield Finding(level="ok", name="cores", found=f"{usable}, all usable")


def governor(seen: Snapshot) -> Iterator[Finding]:
    """Yield the frequency governor where the kernel shows one."""
    name = seen.machine.governor
    if name == "powersave":
        yield Finding(
            level="warning",
            name="governor",
            found="powersave: timings are slower and vary more than the machine's own",
            remedy="before benchmarks: sudo cpupower frequency-set -g performance",
        )
    elif name is not None:
        yield Finding(level="ok", name="governor", found=name)


def memory(seen: Snapshot) -> Iterator[Finding]:
    """Yield memory and swap, with a warning where there is little."""
    host = seen.host
    usable = host.memory_usable_bytes
    if usable is None:
        yield Finding(level="info", name="memory", found="the system does not say how much")
        return
    parts = [f"{_gib(usable)} usable"]
    if host.memory_present_bytes is not None and usable < 0.95 * host.memory_present_bytes:
        parts.append(f"of {_gib(host.memory_present_bytes)}: a container's limit")
    if host.memory_available_bytes is not None:
        parts.append(f"{_gib(min(host.memory_available_bytes, usable))} free")
    if host.swap_bytes is not None:
        parts.append(f"swap {_gib(host.swap_bytes)}" if host.swap_bytes else "no swap")
    little = min(usable, host.memory_available_bytes or usable) < _LITTLE_MEMORY
    yield Finding(
        level="warning" if little else "ok",
        name="memory",
        found=", ".join(parts) + ("; quantizing large models may fail" if little else ""),
        remedy="free memory, raise the limit, or quantize on a larger machine" if little else None,
    )


def disks(seen: Snapshot) -> Iterator[Finding]:
    """Yield the folders that are written to; without one for temporary files nothing works."""
    purposes = {disk.purpose for disk in seen.host.disks}
    if "cache" not in purposes:
        yield Finding(
            level="warning",
            name="cache folder",
            found="none: this user has no home",
            remedy="export XDG_CACHE_HOME=/path/to/a/folder/of/yours",
        )
    if "temporary" not in purposes:
        yield Finding(
            level="error",
            name="temporary folder",
            found="none that can be written to",
            remedy="export TMPDIR=/path/to/a/folder/of/yours",
        )
    for disk in seen.host.disks:
        yield _disk(disk)


def _disk(disk: Disk) -> Finding:
    name = f"{disk.purpose} folder"
    if not disk.writable:
        return Finding(
            level="error" if disk.purpose == "temporary" else "warning",
            name=name,
            found=f"{disk.path} can't be written to",
            remedy=_ELSEWHERE[disk.purpose],
        )
    if disk.free_bytes is None:
        return Finding(level="info", name=name, found=f"{disk.path}; free space unknown")
    free = f"{disk.path}, {disk.free_bytes / 1e9:.1f} GB free"
    if disk.free_bytes < _LITTLE_DISK:
        return Finding(level="warning", name=name, found=free, remedy=_ELSEWHERE[disk.purpose])
    return Finding(level="ok", name=name, found=free)


_ELSEWHERE = {
    "temporary": "free some space, or export TMPDIR=/path/to/a/folder/of/yours",
    "cache": "free some space, or export XDG_CACHE_HOME=/path/to/a/folder/of/yours",
    "working": "free some space, or name outputs in another folder",
}


def devices(seen: Snapshot) -> Iterator[Finding]:
    """Yield each accelerator, with the engine that drives it or what is missing."""
    engines = {engine.name: engine for engine in seen.engines}
    for device in seen.accelerators:
        yield _device(device, engines)
    if not seen.accelerators:
        yield Finding(level="info", name="accelerators", found="none seen")


def _device(device: Accelerator, engines: dict[str, EngineState]) -> Finding:
    driver = f", driver {device.driver}" if device.driver else ""
    text = f"{device.name} ({device.where}{driver})"
    if not device.usable:
        return Finding(
            level="warning",
            name=device.kind,
            found=f"{text} is there and can't be opened",
            remedy=_PERMISSION.get(device.kind, f"check the permissions of {device.where}"),
        )
    names, install = _DRIVEN_BY.get(device.kind, ((), ""))
    known = [engines[name] for name in names if name in engines]
    if any(engine.available for engine in known):
        return Finding(level="ok", name=device.kind, found=text)
    if any(engine.supported for engine in known):
        return Finding(
            level="warning",
            name=device.kind,
            found=f"{text}; its engine is not installed",
            remedy=install,
        )
    return Finding(level="info", name=device.kind, found=f"{text}; {_unused(known, install)}")


def _unused(known: list[EngineState], install: str) -> str:
    """Return why edgecv leaves a device alone, and what other programs would need for it."""
    there = [f"{engine.name} {engine.version}" for engine in known if engine.version]
    if there:
        return f"{', '.join(there)} is installed, but this edgecv does not run models on it"
    missing = f" ({install} for other programs)" if install else ""
    return f"this edgecv does not run models on it{missing}"


def _gib(size: int) -> str:
    return f"{size / _GIB:.1f} GiB"


RULES: tuple[Rule, ...] = (processor, cores, governor, memory, disks, devices)
