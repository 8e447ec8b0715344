"""The report of a distill run."""

from __future__ import annotations

from edgecv_cli.core.result import Drop, Interval
from edgecv_cli.report.html import render
from edgecv_cli.report.markdown import render as as_markdown
from edgecv_cli.stages.compose.distill import distill_document
from edgecv_cli.stages.distill_result import DistillResult, LossRow, TaughtBy
from edgecv_cli.stages.qat_result import IntegersRow
from edgecv_cli.stages.quantize_result import HowMade, Side

WHOLE = DistillResult(
    model="in/m.onnx", family="yolov8", teacher="in/large.onnx", lesson="dense", width=0.5,
    swapped={"silu=relu": 7},
    before=Side(map=0.25, map50=0.5, p50_ms=10, p95_ms=12, size_bytes=2_000_000),
    after=Side(map=0.24, map50=0.45, p50_ms=8, p95_ms=9, size_bytes=1_000_000),
    drop=Drop(points=1, relative=0.04), speedup=1.25, size_ratio=2.0,
    drop_interval=Interval(low=0.5, high=1.5, method="bootstrap", resamples=1000),
    speedup_interval=Interval(low=1.2, high=1.3, method="bootstrap"),
    agreement=TaughtBy(before=0.5, after=0.75, images=40),
    steps=20, best=10, ended="patience", retreats=0,
    losses=(LossRow(step=0, distance=0.5), LossRow(step=10, distance=0.25),
            LossRow(step=20, distance=0.3)),
    integers=IntegersRow(target="cpu", estimator="mse", untrained={"mse": 0.4}, before=0.4,
                         after=0.2, steps=8, best=4, ended="steps", parity=0.004, seconds=3),
    training_images=70, held_out_images=10, seconds=90,
    gates={"max_drop": "at most 3%: lost 4.0%"},
    how=HowMade(engine="onnxruntime", threads=1, evaluation_images=100, speed_rounds=30,
                speed_source="each in a child process", seed=0),
)  # fmt: skip


def test_all_that_was_measured_is_in_the_report():
    page = as_markdown(distill_document(WHOLE.model_copy(update={"saved": "out/taught.onnx"})))
    for part in (
        "Saved as taught.onnx", "taught by large.onnx", "1.25 x", "0.750", "0.500 before",
        "lost 1.00 point", "100 images", "50.0 % of the multiply-accumulates", "7 replaced",
        "70 learned from, 10 held out", "20 updates, the best after 10: 0.5000 to 0.2500",
        "ended by patience", "untrained, mse", "0.4000 to 0.2000", "90 s of training", "at most 3%",
    ):  # fmt: skip
        assert part in page
    assert render(distill_document(WHOLE)).count("<svg") >= 1


def test_nothing_stands_for_what_was_not_measured():
    bare = WHOLE.model_copy(
        update={
            "before": Side(size_bytes=2_000_000), "after": Side(size_bytes=1_000_000),
            "drop": None, "drop_interval": None, "speedup": None, "speedup_interval": None,
            "agreement": None, "integers": None, "width": None, "swapped": None, "losses": (),
        }
    )  # fmt: skip
    page = as_markdown(distill_document(bare))
    assert "Refused" in page
    for part in ("mAP50", "Training", "Integers", "Latency", "agreement", "None", "replaced"):
        assert part not in page
