"""edgecv quantize beside ONNX Runtime's stock ``quantize_static``, accuracy and speed in one run.

    python benchmarks/quantize_vs_stock.py MODEL.onnx... --calibration DIR --data DIR [--threads N]

Each model is quantized by edgecv (default gates, or as told) and by the stock quantizer, both
on the same calibration images. Then original, edgecv's and stock file are evaluated and timed
side by side: each in a child process, rounds interleaved. Prints a Markdown table with the
ratio's interval, and says where edgecv refused or kept fp32.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.config.benchmark import BenchmarkConfig
from edgecv_cli.config.quantize import QuantizeConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import GateNotMetError
from edgecv_cli.media.images import open_images
from edgecv_cli.pipeline.stock import stock_quantize
from edgecv_cli.stages.benchmark import benchmark
from edgecv_cli.stages.quantize import quantize


def edgecv(model: Path, target: Path, options: argparse.Namespace) -> str:
    saved = target.with_suffix(".saved.onnx")
    config = QuantizeConfig(
        model=model,
        output=saved,
        calibration=options.calibration,
        data=options.data,
        prefer=options.prefer,
        precision=options.precision,
        images=options.images,
        threads=options.threads,
        keep_rejected=target,
    )
    try:
        result = quantize(config, Context())
    except GateNotMetError as refused:
        return f"refused: {refused.problem}"
    saved.replace(target)
    drop = f"{result.drop.points:.1f} points" if result.drop else "nothing"
    return (
        f"saved as {result.precision}: {result.placement}, {result.estimator}, bias correction "
        f"{result.bias_correction}; {100 * (result.int8_macs_share or 0):.0f} % of the MACs in "
        f"int8; lost {drop}; speed-up at the gate {result.speedup}; "
        f"calibration {result.calibration.seconds:.1f} s for {result.calibration.images} images, "
        f"peak {(result.calibration.peak_rss_bytes or 0) / 1e6:.0f} MB"
    )


def compare(model: Path, options: argparse.Namespace, folder: Path) -> None:
    ours, stock = folder / f"{model.stem}.edgecv.onnx", folder / f"{model.stem}.stock.onnx"
    said = edgecv(model, ours, options)
    artifact = Artifact.open(model)
    images = open_images(options.calibration, options.images).paths
    stock_quantize(artifact, artifact.detector().spec, images, stock, Context())
    result = benchmark(
        BenchmarkConfig(
            models=(model, ours, stock),
            data=options.data,
            duration=options.seconds,
            threads=options.threads,
        ),
        Context(),
    )
    ratios = {ratio.b: ratio for ratio in result.ratios}
    for name, run in zip(("fp32", "edgecv", "stock"), result.runs, strict=True):
        ratio = ratios.get(run.model)
        speed = f"{ratio.ratio:.2f} ({ratio.low:.2f} to {ratio.high:.2f})" if ratio else "1"
        print(
            f"| {model.stem} | {name} | {run.map:.3f} | {run.p50_ms:.2f} | {speed} | "
            f"{run.size_bytes / 1e6:.2f} |"
        )
    print(f"\n{model.stem}: {said}")
    for warning in result.warnings:
        print(f"warning: {warning}")
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--prefer", default="balanced")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args()
    print("| model | made by | mAP50-95 | p50 ms | speed (95 % interval) | MB |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for model in options.models:
            compare(model, options, Path(folder))


if __name__ == "__main__":
    main()
