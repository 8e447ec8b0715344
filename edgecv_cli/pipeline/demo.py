"""demo: the whole job on the detector and the images that ship with edgecv."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.config.benchmark import BenchmarkConfig
from edgecv_cli.config.common import MaxDrop
from edgecv_cli.config.demo import DemoConfig
from edgecv_cli.config.detect import DetectConfig
from edgecv_cli.config.evaluate import EvaluateConfig
from edgecv_cli.config.quantize import QuantizeConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import EngineError, OutputError, OutputExistsError
from edgecv_cli.core.files import Publication, writing
from edgecv_cli.core.require import cv2
from edgecv_cli.core.resources import resource
from edgecv_cli.core.result import Drop, Interval
from edgecv_cli.measure.latency_result import BenchRun, Ratio
from edgecv_cli.media.images import open_images
from edgecv_cli.pipeline.demo_report import report_of
from edgecv_cli.pipeline.demo_result import DemoResult, DemoSide
from edgecv_cli.pipeline.stock import stock_quantize
from edgecv_cli.report.blocks import Block
from edgecv_cli.stages.benchmark import benchmark
from edgecv_cli.stages.benchmark_result import BenchmarkResult
from edgecv_cli.stages.compose.pictures import look_and_pair
from edgecv_cli.stages.compose.publishing import reporting
from edgecv_cli.stages.detect import run_detect
from edgecv_cli.stages.evaluate import evaluate
from edgecv_cli.stages.evaluate_result import EvaluateResult
from edgecv_cli.stages.quantize import quantize
from edgecv_cli.stages.quantize_result import QuantizeResult

MODEL = "builtin_detector.onnx"
MAX_DROP = MaxDrop(2.0, "%")
_PICTURES = 6
_SECONDS = 4.0
_SEARCH_SECONDS = 2.0


@dataclass(frozen=True)
class _Paths:
    """Where everything of one demo stands."""

    output: Path
    calibration: Path
    validation: Path
    report: Path

    @property
    def original(self) -> Path:
        return self.output / "detector-fp32.onnx"

    @property
    def optimized(self) -> Path:
        return self.output / "detector-int8.onnx"

    @property
    def stock(self) -> Path:
        return self.output / "stock-int8.onnx"

    @property
    def pictures(self) -> Path:
        return self.output / "pictures"


def demo(config: DemoConfig, context: Context) -> DemoResult:
    """Quantize the built-in detector, measure it beside the stock quantizer's, and detect.

    Every file is published whole; where int8 does not pay on this machine, the result says so.

    Raises:
        OutputExistsError: the output folder holds something, and ``force`` was not given.
        GateNotMetError: int8 loses more than 2 % of the mAP.
    """
    began = context.clock()
    paths = _prepare(config)
    with reporting(paths.report, force=config.force, inputs=()) as draft:
        result = _run(config, paths, context, began)
        draft.write(report_of(result, _side_by_side(config, paths, context)))
    return result


def _run(config: DemoConfig, paths: _Paths, context: Context, began: int) -> DemoResult:
    _original(config, paths)
    context.progress.note(f"1/5 quantize {MODEL}, calibrated on drawn scenes")
    made = _quantize(config, paths, context)
    context.progress.note("2/5 the same model through onnxruntime's stock quantize_static")
    _stock(paths, context)
    context.progress.note("3/5 benchmark and evaluate all three, side by side")
    compared = _compare(config, paths, context)
    context.progress.note("4/5 detect on validation scenes")
    pictures = _detect(config, paths, context)
    context.progress.note("5/5 report")
    seconds = (context.clock() - began) / 1e9
    return _result(config, paths, made, compared, pictures, seconds=seconds)


def _prepare(config: DemoConfig) -> _Paths:
    output = config.output
    if output.exists() and not output.is_dir():
        raise OutputError(f"'{output}' is not a folder", remedy="give --output another name")
    if output.is_dir() and any(output.iterdir()) and not config.force:
        raise OutputExistsError(
            f"folder '{output}' is not empty", remedy="add --force, or give --output another name"
        )
    report = config.report
    if report is not None and not report.absolute().is_relative_to(output.absolute()):
        with Publication(report, force=config.force) as place:
            _ = place.main  # refuses a folder
    cv2()  # a missing library is said before anything is written
    with writing(output):
        output.mkdir(parents=True, exist_ok=True)
    return _Paths(
        output,
        resource("calibration_data", "calibration"),
        resource("calibration_data", "validation"),
        config.report or output / "report.html",
    )


def _original(config: DemoConfig, paths: _Paths) -> None:
    model = resource("calibration_data", MODEL)
    with Publication(paths.original, force=config.force) as publication:
        shutil.copyfile(model, publication.main)
        publication.commit()


def _quantize(config: DemoConfig, paths: _Paths, context: Context) -> QuantizeResult:
    return quantize(
        QuantizeConfig(
            model=paths.original,
            output=paths.optimized,
            calibration=paths.calibration,
            data=paths.validation,
            max_drop=MAX_DROP,
            min_speedup=0.0,
            speed_seconds=_SEARCH_SECONDS,
            # The demo has to be over in three minutes; these take longest.
            equalisation="off",
            adaptive_rounding="off",
            threads=config.threads,
            seed=config.seed,
            force=config.force,
        ),
        context,
    )


def _stock(paths: _Paths, context: Context) -> None:
    artifact = Artifact.open(paths.original)
    images = open_images(paths.calibration).paths
    with Publication(paths.stock, force=True) as publication:
        stock_quantize(artifact, artifact.detector().spec, images, publication.main, context)
        publication.commit()


@dataclass(frozen=True)
class _Compared:
    timed: BenchmarkResult
    sides: dict[Path, DemoSide]
    ratios: dict[str, Ratio]
    images: int
    objects: dict[str, int]


def _compare(config: DemoConfig, paths: _Paths, context: Context) -> _Compared:
    models = (paths.original, paths.optimized, paths.stock)
    timed = benchmark(
        BenchmarkConfig(models=models, duration=_SECONDS, threads=config.threads, seed=config.seed),
        context,
    )
    accuracies = [
        evaluate(
            EvaluateConfig(
                model=model, data=paths.validation, threads=config.threads, seed=config.seed
            ),
            context,
        )
        for model in models
    ]
    sides = {
        model: _side(run, accuracy)
        for model, run, accuracy in zip(models, timed.runs, accuracies, strict=True)
    }
    ratios = {ratio.b: ratio for ratio in timed.ratios}
    return _Compared(timed, sides, ratios, accuracies[0].images, accuracies[0].objects)


def _side(run: BenchRun, accuracy: EvaluateResult) -> DemoSide:
    if run.p50_ms is None or run.p95_ms is None or run.samples is None:
        raise EngineError(
            f"'{run.model}' could not be timed: {run.error}", remedy="run the demo again"
        )
    return DemoSide(
        map=accuracy.map,
        map_low=accuracy.interval.low if accuracy.interval else None,
        map_high=accuracy.interval.high if accuracy.interval else None,
        map50=accuracy.map50,
        per_class=accuracy.per_class,
        p50_ms=run.p50_ms,
        p95_ms=run.p95_ms,
        samples=run.samples,
        distribution=run.distribution,
        peak_rss_bytes=run.peak_rss_bytes,
        size_bytes=run.size_bytes or Path(run.model).stat().st_size,
    )


def _detect(config: DemoConfig, paths: _Paths, context: Context) -> tuple[str, ...]:
    images = open_images(paths.validation, _PICTURES).paths
    run_detect(
        DetectConfig(
            model=paths.optimized,
            sources=tuple(str(path) for path in images),
            output=paths.pictures,
            save=("image", "json"),
            threads=config.threads,
            force=config.force,
        ),
        context,
    )
    drawn = open_images(paths.pictures).paths
    return tuple(str(path.relative_to(paths.output)) for path in drawn)


def _side_by_side(config: DemoConfig, paths: _Paths, context: Context) -> list[Block]:
    original = Artifact.open(paths.original)
    return look_and_pair(
        (original, Artifact.open(paths.optimized)),
        ("fp32", "int8"),
        original.detector().spec,
        open_images(paths.validation).paths,
        context,
        engine="onnxruntime",
        threads=config.threads,
    )


def _result(
    config: DemoConfig,
    paths: _Paths,
    made: QuantizeResult,
    compared: _Compared,
    pictures: tuple[str, ...],
    *,
    seconds: float,
) -> DemoResult:
    baseline, optimized = compared.sides[paths.original], compared.sides[paths.optimized]
    stock = compared.sides[paths.stock]
    ratio = compared.ratios[str(paths.optimized)]
    correction = " with bias correction" if made.bias_correction else ""
    return DemoResult(
        schema_="edgecv.demo/1",
        machine=compared.timed.machine,
        baseline=baseline,
        optimized=optimized,
        stock=stock,
        recipe=f"{made.target}: {made.placement}, {made.estimator} ranges{correction}",
        speedup=ratio.ratio,
        speedup_interval=Interval(
            low=ratio.low, high=ratio.high, method="bootstrap over paired rounds"
        ),
        stock_speedup=compared.ratios[str(paths.stock)].ratio,
        size_ratio=baseline.size_bytes / optimized.size_bytes,
        drop=_drop(baseline, optimized),
        stock_drop=_drop(baseline, stock),
        agreement=made.agreement,
        pays=ratio.low > 1.0,
        calibration_images=len(open_images(paths.calibration).paths),
        layers=made.layers,
        int8_macs_share=made.int8_macs_share,
        provenance=made.provenance,
        sha256=made.sha256,
        objects=compared.objects,
        images=compared.images,
        threads=compared.timed.runs[0].threads,
        rounds=compared.timed.rounds,
        warnings=compared.timed.warnings,
        seconds=seconds,
        output=str(config.output),
        models=tuple(path.name for path in (paths.original, paths.optimized, paths.stock)),
        pictures=pictures,
        report=str(paths.report),
    )


def _drop(before: DemoSide, after: DemoSide) -> Drop:
    lost = before.map - after.map
    return Drop(points=100 * lost, relative=lost / before.map)
