"""Rules on Python packages, engines and OpenCV's codecs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgecv_cli.measure.doctor.findings import Finding, Rule
from edgecv_cli.measure.doctor.packages import SHARED_MODULES, Installed, owners
from edgecv_cli.measure.doctor.probes import Module
from edgecv_cli.measure.doctor.snapshot import EngineState, Snapshot

_DISTRIBUTIONS = {
    "onnx_ir": "onnx-ir",
    "cv2": "opencv-python",
    "pycocotools.mask": "pycocotools",
}
_BUILDER = "tensorrt-rtx"
_ESSENTIAL_IMAGES = ("jpg", "png")


def requirements(seen: Snapshot) -> Iterator[Finding]:
    """Yield edgecv's own requirements that are missing, too old or replaced."""
    if not seen.packages:
        yield Finding(
            level="info", name="requirements", found="edgecv's own are not known: no metadata"
        )
    for package in seen.packages:
        install = f"pip install '{package.required}'"
        if package.state == "missing":
            yield Finding(level="error", name=package.name, found="not installed", remedy=install)
        elif package.state == "old":
            found = f"{package.version} is installed, edgecv needs {package.required}"
            yield Finding(level="warning", name=package.name, found=found, remedy=install)
        elif package.state == "replaced":
            found = f"{package.by} is in its place, which will do (pip check calls it missing)"
            yield Finding(level="info", name=package.name, found=found)
    good = sum(package.state == "ok" for package in seen.packages)
    if good:
        found = f"{good} of {len(seen.packages)} installed in the versions that edgecv needs"
        yield Finding(level="ok", name="requirements", found=found)


def duplicates(seen: Snapshot) -> Iterator[Finding]:
    """Yield the modules that several distributions have written over each other."""
    for module in SHARED_MODULES:
        several = owners(seen.distributions, module)
        if len(several) > 1:
            names = " and ".join(f"{one.name} {one.version}" for one in several)
            broken = any(one.name == module and one.problem for one in seen.modules)
            yield Finding(
                level="error" if broken else "warning",
                name=f"{module} twice",
                found=f"{names} write into one folder; which of them runs is chance",
                remedy=cure(module, several),
            )


def cure(module: str, several: Sequence[Installed]) -> str:
    """Return the pip lines that leave one distribution of ``module``, whole."""
    names = [one.name for one in several]
    return f"pip uninstall -y {' '.join(names)} && pip install {_kept(module, names)}"


def _kept(module: str, names: Sequence[str]) -> str:
    if module != "cv2":
        return module  # edgecv runs on the CPU, and names this one in its requirements
    contrib = "contrib-" if any("contrib" in name for name in names) else ""
    headless = "-headless" if any("headless" in name for name in names) else ""
    return f"opencv-{contrib}python{headless}"


def modules(seen: Snapshot) -> Iterator[Finding]:
    """Yield the native modules that can't be imported, or crash when they are."""
    absent = {package.name for package in seen.packages if package.state == "missing"}
    for module in seen.modules:
        distribution = _DISTRIBUTIONS.get(module.name, module.name)
        if module.problem and not (module.missing and distribution in absent):
            several = owners(seen.distributions, module.name)
            remedy = (
                cure(module.name, several)
                if len(several) > 1
                else _repair(module, several[0].name if several else distribution)
            )
            yield Finding(
                level="error",
                name=module.name,
                found=f"can't be loaded: {module.problem}",
                remedy=remedy,
            )


def _repair(module: Module, distribution: str) -> str:
    problem = module.problem or ""
    if module.missing:
        return f"pip install {distribution}"
    if module.name == "cv2" and ".so" in problem:
        return (
            "apt-get install libgl1 libglib2.0-0, or "
            f"pip uninstall -y {distribution} && pip install opencv-python-headless"
        )
    if "SIGILL" in problem:
        return f"this processor is too old for the wheel: build {distribution} from source"
    return f"pip install --force-reinstall --no-cache-dir {distribution}"


def engines(seen: Snapshot) -> Iterator[Finding]:
    """Yield the engines that are installed, and whether edgecv runs models on them."""
    for engine in seen.engines:
        if engine.supported:
            yield from _supported(engine, seen)
        elif engine.name == _BUILDER:
            yield _builder(engine)
        elif engine.version is not None:
            found = f"{engine.version} is installed; this edgecv does not run models on it"
            yield Finding(level="info", name=engine.name, found=found)


def _builder(engine: EngineState) -> Finding:
    """Say whether engines for RTX cards can be built, which needs no GPU."""
    if engine.version is None:
        found = "not installed: no engines for RTX cards (pip install 'edgecv[tensorrt-rtx]')"
        return Finding(level="info", name=_BUILDER, found=found)
    return Finding(
        level="ok",
        name=_BUILDER,
        found=f"{engine.version} builds engines for RTX cards (convert-trt), without a GPU",
    )


def _supported(engine: EngineState, seen: Snapshot) -> Iterator[Finding]:
    loads = not any(one.name == engine.name and one.problem for one in seen.modules)
    if engine.available:
        devices = ", ".join(engine.devices)
        others = f"; providers: {', '.join(engine.providers)}" if engine.providers else ""
        found = f"{engine.version} runs models on {devices}{others}"
        yield Finding(level="ok", name=engine.name, found=found)
    elif engine.version is not None and loads:
        yield Finding(
            level="error",
            name=engine.name,
            found=f"{engine.version} is installed, but can't run a model: "
            f"{seen.runtime.problem or 'its answer is wrong'}",
            remedy=f"pip install --force-reinstall --no-cache-dir {engine.distribution}",
        )


def opencv(seen: Snapshot) -> Iterator[Finding]:
    """Yield how OpenCV was built, and the picture formats that it lacks."""
    video = seen.video
    if video.opencv is None:
        return  # said by `modules`
    window = f"windows through {video.gui}" if video.gui else "headless"
    source = video.distribution or "no single distribution of pip"
    found = f"{video.opencv} from {source}, {window}; video: {', '.join(video.backends) or 'none'}"
    yield Finding(level="ok", name="OpenCV", found=found)
    lacking = [name for name, works in video.images.items() if not works]
    if lacking:
        essential = any(name in _ESSENTIAL_IMAGES for name in lacking)
        yield Finding(
            level="error" if essential else "info",
            name="image formats",
            found=f"can't write and read back {', '.join(lacking)}",
            remedy="pip install --force-reinstall opencv-python" if essential else None,
        )
    elif video.images:
        yield Finding(level="ok", name="image formats", found=" ".join(video.images))


def video(seen: Snapshot) -> Iterator[Finding]:
    """Yield the video encoders that really work, and the backends that are missing."""
    if seen.video.opencv is None:
        return
    works = {one.fourcc for one in seen.video.encoders if one.works}
    if "FFMPEG" not in seen.video.backends:
        yield Finding(
            level="warning",
            name="video files",
            found="this OpenCV was built without FFmpeg: detect reads and writes no videos",
            remedy="pip install --force-reinstall opencv-python-headless",
        )
    elif seen.video.encoders:
        yield _encoders(seen, works)
    if works and "avc1" not in works:
        yield _h264(seen)
    if "GSTREAMER" not in seen.video.backends:
        yield Finding(
            level="info",
            name="GStreamer",
            found="not built into this OpenCV (pip's never have it); pipelines can't be opened",
            remedy="apt-get install python3-opencv, or build OpenCV with -DWITH_GSTREAMER=ON",
        )


def _h264(seen: Snapshot) -> Finding:
    """Say what writes H.264 where OpenCV does not."""
    for one in seen.distributions:
        if one.name == "av":
            return Finding(level="ok", name="H.264", found=f"through PyAV {one.version}")
    return Finding(
        level="info",
        name="H.264",
        found="no encoder here; browsers may not play the MPEG-4 that detect writes",
        remedy="pip install edgecv[video], or convert what was written: "
        "ffmpeg -i found.mp4 -c:v libx264 -pix_fmt yuv420p web.mp4",
    )


def _encoders(seen: Snapshot, works: set[str]) -> Finding:
    named = [f"{one.fourcc} ({one.name})" for one in seen.video.encoders if one.works]
    lacking = [one.fourcc for one in seen.video.encoders if not one.works]
    if not works & {"mp4v", "MJPG"}:  # what VideoWriter writes
        return Finding(
            level="warning",
            name="video encoders",
            found="neither mp4v nor MJPG works: detect --save video will fail",
            remedy="pip install --force-reinstall opencv-python-headless",
        )
    missing = f"; not {', '.join(lacking)}" if lacking else ""
    return Finding(level="ok", name="video encoders", found=f"{', '.join(named)}{missing}")


RULES: tuple[Rule, ...] = (requirements, duplicates, modules, engines, opencv, video)
