"""The command line that builds an engine with classic TensorRT's trtexec.

Options by release: samples/common/sampleOptions.cpp of NVIDIA/TensorRT 8.6.1, 10.16 and 11.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from edgecv_cli.graph.tensorrt.target import Generation, TrtTarget


@dataclass(frozen=True)
class BuildSettings:
    """How classic TensorRT builds an engine.

    Attributes:
        workspace_mb: memory that a tactic may use, in MiB.
        level: builder optimization level, 0 (fast build) to 5; None is TensorRT's own.
        version_compatible: the engine runs on later releases of the same major version too.
        hardware: other GPUs that it runs on (``ampere+``, ``same-compute-capability``), or None.
        dla_core: the core that runs it; None: the GPU.
        shapes: of each input with an open batch its sizes at the fewest, the usual and the most
            pictures.
    """

    workspace_mb: int = 2048
    level: int | None = None
    version_compatible: bool = False
    hardware: str | None = None
    dla_core: int | None = None
    shapes: tuple[tuple[str, tuple[tuple[int, ...], ...]], ...] = ()


@dataclass(frozen=True)
class Line:
    """What one call of trtexec builds.

    Attributes:
        generation: the release that it is for.
        quantized: whether the graph holds Q/DQ.
        precision: the precision that was asked for; None: the graph's own.
        calibration: the cache of a float graph that shall run in int8; 8.6 and 10.x alone.
        model: the ONNX file.
        detailed: whether the engine shall say what its layers work in.
    """

    generation: Generation
    quantized: bool
    precision: str | None = None
    calibration: str | None = None
    model: str = "model.onnx"
    detailed: bool = False
    settings: BuildSettings = field(default_factory=BuildSettings)

    def words(self) -> list[str]:
        """Return the command, word by word."""
        words = ["trtexec", f"--onnx={self.model}", "--saveEngine=model.engine"]
        words += ["--timingCacheFile=timing.cache"]
        words += [f"--memPoolSize=workspace:{self.settings.workspace_mb}"]
        if self.detailed:
            words += ["--profilingVerbosity=detailed"]
        return words + self._precision() + self._place() + self._more()

    def _precision(self) -> list[str]:
        """Return the flags that decide precision: none from 11.x on, where the graph does alone."""
        dla = self.settings.dla_core is not None
        if self.generation == "11":
            return ["--skipInference"]
        if self.calibration is not None:
            return ["--int8", "--fp16", f"--calib={self.calibration}"]
        if self.quantized and self.generation == "10" and not dla:
            return ["--stronglyTyped"]
        if self.quantized or self.precision == "int8":
            return ["--int8", "--fp16"]
        half = self.precision == "fp16" or dla  # DLA cores have no float32
        return ["--fp16"] if half else []

    def _place(self) -> list[str]:
        core = self.settings.dla_core
        return [] if core is None else [f"--useDLACore={core}", "--allowGPUFallback"]

    def _more(self) -> list[str]:
        words = []
        if self.settings.level is not None:
            words.append(f"--builderOptimizationLevel={self.settings.level}")
        if self.settings.version_compatible:
            words.append("--versionCompatible")
        if self.settings.hardware is not None:
            level = {"same-compute-capability": "sameComputeCapability"}
            named = level.get(self.settings.hardware, self.settings.hardware)
            words.append(f"--hardwareCompatibilityLevel={named}")
        for place, option in enumerate(("minShapes", "optShapes", "maxShapes")):
            if self.settings.shapes:
                given = [(name, sizes[place]) for name, sizes in self.settings.shapes]
                words.append(f"--{option}=" + ",".join(_shape(*one) for one in given))
        return words


def _shape(name: str, sizes: Sequence[int]) -> str:
    """Return what trtexec reads; a name with a colon stands in quotes of its own."""
    quoted = f"'{name}'" if ":" in name else name
    return f"{quoted}:{'x'.join(str(size) for size in sizes)}"


def trtexec_line(
    target: TrtTarget, *, quantized: bool, settings: BuildSettings | None = None
) -> str | None:
    """Return the command for ``model.onnx``; None for TensorRT-RTX, which has another tool.

    Args:
        target: what it is for.
        quantized: whether the graph holds Q/DQ.
        settings: how it is built.
    """
    if target.rtx:
        return None
    chosen = placed(settings or BuildSettings(), target)
    line = Line(target.generation, quantized, target.precision, settings=chosen)
    return " ".join(line.words())


def placed(settings: BuildSettings, target: TrtTarget) -> BuildSettings:
    """Return the settings with the core that a DLA target runs on."""
    if target.dla and settings.dla_core is None:
        return replace(settings, dla_core=0)
    return settings
