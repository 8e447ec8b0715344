"""The stages that a pipeline can be made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgecv_cli.config.base import Config
from edgecv_cli.config.benchmark import BenchmarkConfig
from edgecv_cli.config.convert_coreml import ConvertCoremlConfig
from edgecv_cli.config.convert_openvino import ConvertOpenVinoConfig
from edgecv_cli.config.convert_tflite import ConvertTfliteConfig
from edgecv_cli.config.convert_trt import ConvertTrtConfig
from edgecv_cli.config.detect import DetectConfig
from edgecv_cli.config.distill import DistillConfig
from edgecv_cli.config.evaluate import EvaluateConfig
from edgecv_cli.config.inspect import InspectConfig
from edgecv_cli.config.prune import PruneConfig
from edgecv_cli.config.quantize import QuantizeConfig
from edgecv_cli.config.reshape import ReshapeConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.result import Result
from edgecv_cli.stages.benchmark import benchmark
from edgecv_cli.stages.benchmark_result import BenchmarkResult
from edgecv_cli.stages.convert_coreml import convert_coreml
from edgecv_cli.stages.convert_coreml_result import ConvertCoremlResult
from edgecv_cli.stages.convert_openvino import convert_openvino
from edgecv_cli.stages.convert_tflite import convert_tflite
from edgecv_cli.stages.convert_tflite_result import ConvertTfliteResult
from edgecv_cli.stages.convert_trt import convert_trt
from edgecv_cli.stages.convert_trt_result import ConvertTrtResult
from edgecv_cli.stages.converting.result import ConvertOpenVinoResult
from edgecv_cli.stages.detect import run_detect
from edgecv_cli.stages.detect_result import DetectSummary
from edgecv_cli.stages.distill import distill
from edgecv_cli.stages.distill_result import DistillResult
from edgecv_cli.stages.evaluate import evaluate
from edgecv_cli.stages.evaluate_result import EvaluateResult
from edgecv_cli.stages.inspect import InspectResult, inspect
from edgecv_cli.stages.prune import prune
from edgecv_cli.stages.prune_result import PruneResult
from edgecv_cli.stages.quantize import quantize
from edgecv_cli.stages.quantize_result import QuantizeResult
from edgecv_cli.stages.reshape import reshape
from edgecv_cli.stages.reshape_result import ReshapeResult


@dataclass(frozen=True)
class Stage:
    """One kind of step.

    Attributes:
        name: how a pipeline calls it.
        version: raised when the same inputs and settings give another answer; what an older
            version left in the cache is then not used.
        config: its settings.
        result: what it reports.
        run: does it.
        gives: ``artifact``: a model at ``output``, which other steps take; ``result``: figures
            alone; ``folder``: figures, and files in ``output`` where that is set.
        takes: the field of ``config`` that holds the artifact or artifacts it looks at.
        suffix: ending of the artifact's name.
        package: whether that artifact is a folder that is one thing.
        file_suffix: ending of an output that is one file, of a stage that else gives a folder.
        measured: whether its result holds for this machine alone, whatever its settings.
    """

    name: str
    version: int
    config: type[Config]
    result: type[Result]
    run: Callable[[Any, Context], Result]
    gives: Literal["artifact", "result", "folder"] = "result"
    takes: Literal["model", "models"] = "model"
    suffix: str = ".onnx"
    package: bool = False
    file_suffix: str | None = None
    measured: bool = True

    @property
    def takes_many(self) -> bool:
        """Whether it looks at several artifacts at once."""
        return self.takes == "models"

    def makes_folder(self, output: Path) -> bool:
        """Whether an output of that name is a folder."""
        folder = self.gives == "folder" and output.suffix.lower() != self.file_suffix
        return self.package or folder

    def holds_here_alone(self, config: Config) -> bool:
        """Whether the answer to these settings holds for this machine alone."""
        # reading a graph is the same everywhere; a probe of its preprocessing runs it
        return self.measured or getattr(config, "probe", None) is not None


STAGES: tuple[Stage, ...] = (
    Stage("inspect", 1, InspectConfig, InspectResult, inspect, measured=False),
    Stage("evaluate", 1, EvaluateConfig, EvaluateResult, evaluate),
    Stage("quantize", 2, QuantizeConfig, QuantizeResult, quantize, gives="artifact"),
    Stage("prune", 1, PruneConfig, PruneResult, prune, gives="artifact"),
    Stage("distill", 1, DistillConfig, DistillResult, distill, gives="artifact"),
    Stage("reshape", 1, ReshapeConfig, ReshapeResult, reshape, gives="artifact"),
    Stage(
        "convert-openvino",
        1,
        ConvertOpenVinoConfig,
        ConvertOpenVinoResult,
        convert_openvino,
        gives="artifact",
        suffix=".xml",
    ),
    Stage(
        "convert-coreml",
        1,
        ConvertCoremlConfig,
        ConvertCoremlResult,
        convert_coreml,
        gives="artifact",
        suffix=".mlpackage",
        package=True,
    ),
    Stage(
        "convert-tflite",
        1,
        ConvertTfliteConfig,
        ConvertTfliteResult,
        convert_tflite,
        gives="artifact",
        suffix=".tflite",
    ),
    Stage(
        "convert-trt",
        1,
        ConvertTrtConfig,
        ConvertTrtResult,
        convert_trt,
        gives="folder",
        file_suffix=".onnx",
    ),
    Stage("benchmark", 2, BenchmarkConfig, BenchmarkResult, benchmark, takes="models"),
    Stage("detect", 1, DetectConfig, DetectSummary, run_detect, gives="folder"),
)
