"""Results as a run would report them, with made-up figures."""

from __future__ import annotations

from edgecv_cli.artifact.lineage import Step
from edgecv_cli.core.measurement import Distribution
from edgecv_cli.core.result import Drop, Interval, Machine
from edgecv_cli.stages.evaluate_result import EvaluateResult, ProfileUsed
from edgecv_cli.stages.quantize_result import (
    Calibration,
    CandidateRow,
    HowMade,
    Layers,
    QuantizeResult,
    Side,
)

TIMES = Distribution(from_ms=5.0, bin_ms=0.5, counts=(3, 9, 4, 1), slower=2, max_ms=31.5)
STEP = Step(
    stage="quantize", config="c0ff", data="da7a", parents=("0123",), versions={"edgecv": "9.9"}
)
MACHINE = Machine(
    cpu="A processor",
    cores=4,
    instruction_sets=("avx2",),
    memory_bytes=8 * 2**30,
    os="Linux",
    python="3.12",
    engines={"onnxruntime": "1.2"},
    fingerprint="f1f2",
)


def quantized(**changes: object) -> QuantizeResult:
    """A run in which everything was measured and every gate was met."""
    facts = {
        "schema": "edgecv.quantize/1",
        "machine": MACHINE,
        "model": "/somewhere/net.onnx",
        "target": "cpu-x86",
        "precision": "int8",
        "placement": "last",
        "estimator": "minmax",
        "bias_correction": True,
        "baseline": side(0.5, 6.0, {"cat": 0.6, "dog": 0.4, "owl": 0.5}),
        "optimized": side(0.48, 5.5, {"cat": 0.5, "dog": 0.45, "owl": 0.49}),
        "drop": Drop(points=2.0, relative=0.04),
        "drop_interval": Interval(low=-1.0, high=5.0, resamples=1000),
        "objects": {"cat": 12, "dog": 1, "owl": 7},
        "agreement": 0.93,
        "speedup": 1.25,
        "speedup_interval": Interval(low=1.2, high=1.3, method="bootstrap over paired rounds"),
        "size_ratio": 3.5,
        "layers": Layers(
            by_precision={"int8": 9, "fp32": 3},
            reasons={"a": "feeds the decode tail", "b": "feeds the decode tail", "c": "too small"},
        ),
        "int8_macs_share": 0.875,
        "calibration": Calibration(images=64, seconds=3.2, peak_rss_bytes=200_000_000),
        "candidates": (candidate("met"), candidate(None, placement="all")),
        "gates": {"max_drop": "at most 5%: lost 4.0%"},
        "warnings": ("spread 20%",),
        "notes": ("ranked without labels",),
        "how": HowMade(
            engine="onnxruntime",
            threads=2,
            evaluation_images=40,
            agreement_images=40,
            agreement_source="--data",
            speed_rounds=11,
            speed_source="each artifact in a child process",
            seed=0,
        ),
        "saved": "/out/net-int8.onnx",
        "sha256": "5a5a",
        "provenance": (STEP,),
    }
    return QuantizeResult.model_validate({**facts, **changes})


def unmeasured(**changes: object) -> QuantizeResult:
    """A run without labels, on a machine that is not the target."""
    sizes = Side(size_bytes=4_000_000), Side(size_bytes=1_000_000)
    absent = dict.fromkeys(
        ("drop", "drop_interval", "objects", "speedup", "speedup_interval", "layers", "machine")
    )
    return quantized(
        **{
            **absent,
            "baseline": sizes[0],
            "optimized": sizes[1],
            "how": HowMade(engine="onnxruntime", threads=2, seed=0),
            **changes,
        }
    )


def side(score: float, p50: float, per_class: dict[str, float]) -> Side:
    return Side(
        map=score,
        map50=score + 0.2,
        per_class=per_class,
        interval=Interval(low=score - 0.1, high=score + 0.1),
        p50_ms=p50,
        p95_ms=p50 + 1,
        samples=19,
        distribution=TIMES,
        size_bytes=4_000_000,
    )


def candidate(verdict: str | None, placement: str = "last") -> CandidateRow:
    return CandidateRow(
        placement=placement,
        estimator="minmax",
        bias_correction=True,
        self_map=0.9,
        speedup=1.2,
        int8_macs_share=0.9,
        judged=verdict is not None,
        verdict=verdict,
    )


def evaluated(**changes: object) -> EvaluateResult:
    """An evaluation of three classes."""
    facts = {
        "machine": MACHINE,
        "model": "/somewhere/net.onnx",
        "sha256": "5a5a",
        "family": "yolox",
        "map": 0.5,
        "map50": 0.7,
        "map75": 0.55,
        "images": 40,
        "per_class": {"cat": 0.6, "dog": 0.4, "owl": 0.5},
        "objects": {"cat": 12, "dog": 1, "owl": 7},
        "interval": Interval(low=0.45, high=0.55, resamples=1000),
        "unmapped": 3,
        "profile": ProfileUsed(
            score_threshold=0.01, nms_iou=0.65, candidates=3000, detections=100, multi_label=True
        ),
        "engine": "onnxruntime",
        "provider": "CPUExecutionProvider",
        "threads": 2,
        "seconds": 4.2,
        "provenance": (STEP,),
    }
    return EvaluateResult.model_validate({**facts, **changes})
