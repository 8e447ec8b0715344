"""The report of a prune run, and what the terminal shows of one that was refused."""

from __future__ import annotations

import io

from rich.console import Console

from edgecv_cli.cli.render import prune as shown
from edgecv_cli.core.result import Drop, Interval
from edgecv_cli.report.html import render
from edgecv_cli.report.markdown import render as as_markdown
from edgecv_cli.stages.compose.prune import prune_document
from edgecv_cli.stages.prune_result import (
    BudgetRow,
    FitRow,
    GroupRow,
    PruneResult,
    SpeedRow,
    TuneRow,
    WidthRow,
)
from edgecv_cli.stages.quantize_result import HowMade, Side

WHOLE = PruneResult(
    model="m.onnx", family="ssd", macs=1000, flops_ratio=0.8, parameters_ratio=0.7,
    groups=(
        GroupRow(
            producers=("a",), consumers=("b",), units=16, macs_share=0.4, removed=8, damage=0.1
        ),
        GroupRow(producers=("c",), consumers=("d",), units=16, macs_share=0.1, removed=0, damage=0),
    ),
    widths=(WidthRow(layer="a", before=16, after=8), WidthRow(layer="c", before=16, after=16)),
    curve=(BudgetRow(flops_ratio=0.9, damage=0.05), BudgetRow(flops_ratio=0.8, damage=0.125)),
    curve_images=16,
    speeds=(SpeedRow(flops_ratio=0.8, speedup=1.25, low=1.2, high=1.3),),
    baseline=Side(map=0.25, map50=0.5, p50_ms=10, p95_ms=12, size_bytes=2_000_000),
    optimized=Side(map=0.2, map50=0.45, p50_ms=8, p95_ms=9, size_bytes=1_000_000),
    drop=Drop(points=5, relative=0.2), speedup=1.25, size_ratio=2.0,
    drop_interval=Interval(low=4, high=6, method="bootstrap", resamples=1000),
    speedup_interval=Interval(low=1.2, high=1.3, method="bootstrap"),
    fits=(FitRow(layer="b", before=0.5, after=0.0625, ridge=0.1),),
    finetune=TuneRow(before=0.4, after=0.3, steps=20, best=10, ended="steps", retreats=0,
                     curve=((0, 0.4), (10, 0.3), (20, 0.35))),
    seconds={"choose": 12.0}, gates={"max_drop": "at most 3%: lost 20.0%"},
    how=HowMade(engine="onnxruntime", threads=1, evaluation_images=100, speed_rounds=30,
                speed_source="each in a child process", seed=0),
)  # fmt: skip


def test_all_that_was_measured_is_in_the_report():
    page = as_markdown(prune_document(WHOLE.model_copy(update={"saved": "out/small.onnx"})))
    for part in (
        "Saved as small.onnx", "1.25 x", "80.0 %", "lost 5.00 points (20.0 %)", "100 images",
        "16 to 8", "1 other layer kept all", "16 calibration images", "0.0625", "choose 12 s",
        "20 updates, the best after 10: 0.4000 to 0.3000", "1.20 to 1.30", "at most 3%",
    ):  # fmt: skip
        assert part in page
    assert render(prune_document(WHOLE)).count("<svg") >= 2  # damage and distance


def test_nothing_stands_for_what_was_not_measured():
    bare = PruneResult(model="m.onnx", family="ssd", macs=1000, groups=(), gates={"x": "not met"})
    page = as_markdown(prune_document(bare))
    assert "Refused" in page
    for part in ("mAP", "What budgets cost", "Recovery", "Latency", "None", "0.000"):
        assert part not in page


def test_the_terminal_shows_what_was_tried():
    refused = WHOLE.model_copy(update={"baseline": None, "optimized": None, "finetune": None})
    out = io.StringIO()
    for part in shown.render(refused):
        Console(file=out, width=120).print(part)
    said = out.getvalue()
    for part in ("80.0 %", "0.125", "1.25 x", "1.20 to 1.30", "nothing was saved"):
        assert part in said
