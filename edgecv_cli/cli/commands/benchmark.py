"""``edgecv benchmark``: models timed side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.command import Command
from edgecv_cli.config.benchmark import BenchmarkConfig

if TYPE_CHECKING:
    from edgecv_cli.cli.session import Session


def execute(config: BenchmarkConfig, session: Session) -> None:
    """Time the models, here or on a fleet's devices, and show them in one table."""
    if config.devices is not None:
        from edgecv_cli.cli.render.fleet import render as render_fleet
        from edgecv_cli.pipeline.fleet.benchmark import benchmark_fleet

        session.run(benchmark_fleet, config, render_fleet)
        return
    from edgecv_cli.cli.render.benchmark import render
    from edgecv_cli.stages.benchmark import benchmark

    session.run(benchmark, config, render)


COMMAND = Command(
    config=BenchmarkConfig,
    execute=execute,
    help=(
        "Time models against each other on this machine: each in a process of its own, in "
        "interleaved blocks, so that ratios hold even where the machine is not quiet. With --data "
        "their accuracy is measured in the same run. --fail-if makes it a gate for CI: code 3; "
        "--devices measures on other machines."
    ),
    examples=(
        "edgecv benchmark yolox.onnx int8.onnx",
        "edgecv benchmark yolox.onnx int8.onnx --data coco/ --duration 10 --threads 1 --json",
        "edgecv benchmark int8.onnx --compare baseline.json --fail-if 'p95_ms > +5%' --md out.md",
        "edgecv benchmark yolox.onnx int8.onnx --devices fleet.yaml --label jetson",
    ),
)
