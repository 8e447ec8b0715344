"""The parent's half of the probing: a library that crashes is an answer, not the end."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from pydantic import Field

from edgecv_cli.core.child import Child, Limits
from edgecv_cli.core.context import Cancel, Task
from edgecv_cli.core.errors import ChildFailureError, EdgeCVError
from edgecv_cli.core.result import Part

_SECONDS = 60.0
MODULES = ("numpy", "onnx", "onnx_ir", "onnxsim", "onnxruntime", "cv2", "pycocotools.mask")
"""Native modules that edgecv can't work without, in the order in which they are tried."""

IMAGE_SUFFIXES = (".jpg", ".png", ".webp", ".bmp", ".tiff", ".jp2", ".avif", ".gif")
ENCODERS = (
    ("mp4v", ".mp4", "MPEG-4"),
    ("avc1", ".mp4", "H.264"),
    ("hvc1", ".mp4", "H.265"),
    ("MJPG", ".avi", "Motion JPEG"),
    ("XVID", ".avi", "MPEG-4 in AVI"),
    ("VP80", ".webm", "VP8"),
    ("VP90", ".webm", "VP9"),
    ("AV01", ".mp4", "AV1"),
    ("FFV1", ".mkv", "FFV1, lossless"),
)
ASKS = len(MODULES) + len(IMAGE_SUFFIXES) + len(ENCODERS) + 3
"""How often a probe is asked in all."""


class Module(Part):
    """A native module that was imported in a process of its own."""

    name: str
    version: str | None = None
    missing: bool = False
    problem: str | None = Field(None, description="Why it can't be used, in its own words.")


class Encoder(Part):
    """A video encoder that was tried on a few frames, which were read back."""

    fourcc: str
    container: str
    name: str
    works: bool
    problem: str | None = None


class Video(Part):
    """What the installed OpenCV can do."""

    opencv: str | None = Field(None, description="Version; absent where it can't be loaded.")
    distribution: str | None = Field(None, description="The Python distribution it came in.")
    gui: str | None = Field(None, description="Window toolkit; absent in headless builds.")
    backends: tuple[str, ...] = Field((), description="Video backends that are built in.")
    encoders: tuple[Encoder, ...] = ()
    images: dict[str, bool] = Field(
        default_factory=dict, description="Image format: written and read back."
    )


class Runtime(Part):
    """ONNX Runtime, after one addition on the CPU."""

    providers: tuple[str, ...] = ()
    ran: bool = False
    problem: str | None = None


class Probe(Protocol):
    """Does one thing of :mod:`edgecv_cli.measure.doctor.service` somewhere safe."""

    def ask(self, method: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer, or ``{"problem": why there is none}``."""
        ...


class ChildProbe:
    """Asks in a child process, and starts another one where a library ended it.

    ::

        with ChildProbe() as probe:
            probe.ask("module", {"name": "cv2"})
    """

    def __init__(self, cancel: Cancel | None = None, task: Task | None = None) -> None:
        self._cancel = cancel or Cancel()
        self._task = task
        self._child: Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the child."""
        self._end()

    def ask(self, method: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer, or ``{"problem": how the child ended}``.

        Raises:
            InterruptedByUser: the work is to stop.
        """
        self._cancel.check()
        if self._task is not None:
            self._task.advance()
        try:
            return self._running().call(method, payload)
        except ChildFailureError as failure:
            self._end()
            return {"problem": _how(failure)}
        except EdgeCVError as refused:
            self._cancel.check()
            return {"problem": refused.problem}

    def _running(self) -> Child:
        if self._child is None:
            child = Child("doctor", name="probing", limits=Limits(_SECONDS), cancel=self._cancel)
            self._child = child.__enter__()
        return self._child

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.__exit__(None, None, None)


def modules(probe: Probe) -> tuple[Module, ...]:
    """Import each of ``MODULES``."""
    return tuple(Module(name=name, **probe.ask("module", {"name": name})) for name in MODULES)


def runtime(probe: Probe) -> Runtime:
    """Run something with ONNX Runtime."""
    return Runtime(**probe.ask("onnxruntime", {}))


def engine_devices(probe: Probe) -> dict[str, tuple[str, ...]]:
    """Return the engines that edgecv knows how to run, with their devices here: none, if absent."""
    answers = probe.ask("engines", {})
    return {
        name: tuple(answer["devices"]) if answer["available"] else ()
        for name, answer in answers.items()
        if isinstance(answer, dict)
    }


def video(probe: Probe, distribution: str | None) -> Video:
    """Try OpenCV's codecs; nothing but its absence where it can't be loaded."""
    built = probe.ask("opencv", {})
    if "problem" in built:
        return Video(distribution=distribution)
    return Video(
        opencv=built["version"],
        distribution=distribution,
        gui=built["gui"],
        backends=tuple(built["backends"]),
        encoders=_encoders(probe),
        images={
            suffix[1:]: bool(probe.ask("image", {"suffix": suffix}).get("works"))
            for suffix in IMAGE_SUFFIXES
        },
    )


def _encoders(probe: Probe) -> tuple[Encoder, ...]:
    """Try each encoder; none where there is no folder to write into."""
    try:
        with tempfile.TemporaryDirectory(prefix="edgecv-doctor-") as folder:
            return tuple(_encoder(probe, Path(folder), *one) for one in ENCODERS)
    except OSError:
        return ()


def _encoder(probe: Probe, folder: Path, fourcc: str, suffix: str, name: str) -> Encoder:
    asked = {"folder": str(folder), "fourcc": fourcc, "suffix": suffix}
    answer = {"works": False, **probe.ask("encoder", asked)}
    return Encoder(fourcc=fourcc, container=suffix[1:], name=name, **answer)


def _how(failure: ChildFailureError) -> str:
    """Return how a child ended, without the name of the child."""
    said = failure.problem.rpartition("the process ")[2]
    last = failure.stderr_tail.strip().splitlines()
    return f"{said}: {last[-1]}" if last and failure.signal is None else said
