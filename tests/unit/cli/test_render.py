"""Tables: what they say of numbers that were measured, and of those that were not."""

import io
from collections.abc import Iterable

from rich.console import Console, RenderableType

from edgecv_cli.artifact.lineage import Step
from edgecv_cli.cli.render import benchmark, demo, detect, evaluate, inspect, quantize, tables
from edgecv_cli.core.result import Drop, Interval, Machine
from edgecv_cli.measure.latency_result import BenchRun, Ratio
from edgecv_cli.pipeline.demo_result import DemoResult, DemoSide
from edgecv_cli.stages.benchmark_result import BenchmarkResult
from edgecv_cli.stages.detect_result import DetectSummary, SkippedSource
from edgecv_cli.stages.evaluate_result import EvaluateResult, ProfileUsed
from edgecv_cli.stages.inspect import DetectorReading, InspectResult, Tensor
from edgecv_cli.stages.quantize_result import (
    Calibration,
    CandidateRow,
    HowMade,
    Layers,
    QuantizeResult,
    Side,
)

MACHINE = Machine(
    cpu="Abacus 9", cores=2, instruction_sets=("beads",), os="o", python="3", fingerprint="f",
    engines={"onnxruntime": "1.2"},
)  # fmt: skip
HOSTILE = "x\x1b[2Jy"


def text(blocks: Iterable[RenderableType]) -> str:
    out = io.StringIO()
    console = Console(file=out, width=200, emoji=False, markup=False, highlight=False)
    for block in blocks:
        console.print(block)
    assert "\x1b" not in out.getvalue()
    return "\n".join(" ".join(line.split()) for line in out.getvalue().splitlines())


class TestInspect:
    def result(self, **changes: object) -> InspectResult:
        given = {
            "model": f"{HOSTILE}.onnx",
            "inputs": (Tensor(name="images", dtype="float32", shape=(None, 3, 64, 64)),),
            "outputs": (Tensor(name=HOSTILE, dtype="float32", shape=(1, 7, 84)),),
            "opset": 17, "parameters": 1_234_567, "macs": None, "operators": {"Conv": 3},
            "size_bytes": 5_000_000, "sha256": "ab" * 32, "content_digest": "cd" * 32,
            "precision": "fp32", "provenance": (),
        }  # fmt: skip
        return InspectResult(**{**given, **changes})

    def test_a_graph_that_is_no_detector(self):
        said = text(inspect.render(self.result(notes=("not read as a detector: no boxes",))))
        assert "images float32 [? x 3 x 64 x 64]" in said
        assert "parameters 1.23 M" in said
        assert "size 5.00 MB" in said
        assert "MACs" not in said
        assert "(confidence" not in said
        assert "note: not read as a detector: no boxes" in said

    def test_a_detector_with_its_reasons(self):
        reading = DetectorReading(
            family="yolox", confidence=0.9, evidence=("seen it",), assumed=("guessed it",),
            input_size=(64, 96), color="bgr", resize="letterbox", scale=1, mean=(0, 0, 0),
            std=(1, 1, 1), pad=114, boxes="cxcywh", strides=(8, 16), score_threshold=0.25,
            nms_iou=0.65, classes=tuple(f"c{number}" for number in range(9)),
        )  # fmt: skip
        steps = (Step(stage="prune", config="1"), Step(stage="quantize", config="2"))
        said = text(inspect.render(self.result(detector=reading, macs=5, provenance=steps)))
        for part in (
            "detector: yolox (confidence 0.90)",
            "image 64 x 96, bgr, letterbox, padded 114",
            "classes 9: c0, c1, c2, c3, c4, c5, ...",
            "seen seen it",
            "assumed guessed it",
            "prune ? -> ?",
            "quantize ? -> cdcdcdcdcdcd",
        ):
            assert part in said


def test_evaluate_says_how_the_numbers_were_made():
    result = EvaluateResult(
        machine=MACHINE, model="m.onnx", sha256="s", family="ssd", map=0.5, map50=0.75, map75=0.4,
        images=100, per_class={f"c{number:02}": number / 100 for number in range(25)},
        interval=Interval(low=0.45, high=0.55, resamples=1000), unmapped=7,
        profile=ProfileUsed(score_threshold=0.01, nms_iou=0.65, candidates=3000, detections=100,
                            multi_label=True),
        engine="onnxruntime", provider="CPUExecutionProvider", threads=2, seconds=3.2,
    )  # fmt: skip
    said = text(evaluate.render(result))
    for part in (
        "mAP50-95 0.500",
        "0.450 to 0.550 (95 % bootstrap, 1000 resamples)",
        "images 100",
        "7 detections of classes that the data does not label",
        "c24 0.240",
        "and 5 more classes",
        "score 0.01, NMS IoU 0.65, multi-label, 3000 candidates, 100 detections",
        "measured on Abacus 9, 2 cores, beads; onnxruntime 1.2",
    ):
        assert part in said
    assert "c04" not in said


def test_benchmark_leaves_out_what_was_not_measured():
    good = BenchRun(model="a.onnx", engine="onnxruntime", threads=2, p50_ms=10, p95_ms=12,
                    p99_ms=13, fps=100, samples=50, peak_rss_bytes=50_000_000)  # fmt: skip
    bad = BenchRun(model="b.onnx", engine="onnxruntime", threads=2, error="it crashed")
    ratio = Ratio(a="a.onnx", b="b.onnx", ratio=1.5, low=1.4, high=1.6)
    result = BenchmarkResult(
        machine=MACHINE, runs=(good, bad), ratios=(ratio,), warnings=("busy",), rounds=9, seconds=5
    )
    said = text(benchmark.render(result))
    assert "a.onnx onnxruntime 10.00 12.00 13.00 100.0 - 50.00 MB -" in said
    assert "b.onnx onnxruntime - - - - - - -" in said
    assert "warning: b.onnx was not timed: it crashed" in said
    assert (
        "b.onnx: 1.50 x as fast as a.onnx (1.40 to 1.60, 95 % over launches and paired rounds)"
        in said
    )
    assert "warning: busy" in said
    assert "at least 50 timed inferences each, 9 interleaved rounds, 2 threads" in said
    assert "mAP" not in said


def test_benchmark_shows_accuracy_where_it_was_measured():
    run = BenchRun(model="a.onnx", engine="onnxruntime", threads=2, map=0.4)
    result = BenchmarkResult(runs=(run,), ratios=(), warnings=(), rounds=1, images=10, seconds=1)
    said = text(benchmark.render(result))
    assert "mAP50-95" in said
    assert "mAP on 10 images" in said


class TestQuantize:
    def result(self, **changes: object) -> QuantizeResult:
        given = {
            "schema": "edgecv.quantize/1", "model": "a.onnx", "target": "cpu-x86",
            "precision": "int8", "baseline": Side(map=0.5, p50_ms=10.0, size_bytes=4_000_000),
            "how": HowMade(engine="onnxruntime", threads=2, seed=0),
        }  # fmt: skip
        return QuantizeResult(**{**given, **changes})

    def saved(self) -> QuantizeResult:
        row = CandidateRow(corrections=("bias correction", "adaptive rounding"),
                           placement="all", estimator="minmax", bias_correction=True,
                           self_map=0.9, int8_macs_share=1.0)  # fmt: skip
        return self.result(
            optimized=Side(map=0.49, p50_ms=5.0, size_bytes=1_000_000),
            placement="last", estimator="mean-minmax", bias_correction=False,
            drop=Drop(points=1.0, relative=0.02), speedup=2.0, size_ratio=4.0, agreement=0.97,
            speedup_interval=Interval(low=1.9, high=2.1), int8_macs_share=0.95,
            layers=Layers(by_precision={"int8": 9, "fp32": 3},
                          reasons={"x": "feeds the tail", "y": "feeds the tail", "z": "odd"}),
            calibration=Calibration(images=128, seconds=9.0, skipped=("bad.jpg",)),
            candidates=(row, row), gates={"max_drop": "at most 3 %: lost 2 %"},
            warnings=("careful",), notes=("noted",), saved="out.onnx", sha256="ef" * 32,
            plan="plan.json",
        )  # fmt: skip

    def test_before_and_after(self):
        said = text(quantize.render(self.saved()))
        for part in (
            "mAP50-95 0.500 0.490",
            "p50 ms 10.00 5.00",
            "p95 ms - -",
            "size 4.00 MB 1.00 MB",
            "drop 1.00 points (2.0 %)",
            "speed-up 2.00 x",
            "1.90 to 2.10",
            "95.0 % of the MACs (9 layers int8, 3 layers fp32)",
            "128 images, 9.0 s, skipped: bad.jpg",
            "gate max_drop at most 3 %: lost 2 %",
            "float: 2 layers, feeds the tail",
            "float: 1 layer, odd",
            "all minmax bias, rounding 0.900 - 100 % -",
            "warning: careful",
            "note: noted",
            "saved out.onnx (int8)",
            "plan: plan.json",
        ):
            assert part in said

    def test_a_refusal_says_that_nothing_was_saved(self):
        said = text(quantize.render(self.result(rejected="kept.onnx")))
        assert "nothing was saved" in said
        assert "the best candidate was kept as kept.onnx" in said
        assert "drop" not in said
        assert "speed-up" not in said


class TestDetect:
    def summary(self, **changes: object) -> DetectSummary:
        given = {
            "model": "m", "family": "ssd", "frames": 30, "detections": 60, "score_threshold": 0.25,
            "nms_iou": 0.65, "seconds": 3.0, "engine": "onnxruntime", "provider": "CPU",
            "threads": 2,
        }  # fmt: skip
        return DetectSummary(**{**given, **changes})

    def test_the_first_frames_and_the_rest_as_a_count(self):
        shown = detect.FirstFrames()
        found = [{"class_name": "cat", "score": 0.5}, {"class_name": "cat", "score": 0.9}]
        for number in range(30):
            shown.emit({"source": f"{number}{HOSTILE}.png", "frame": 0, "detections": found})
        shown.emit({"summary": {}})
        said = text(detect.render(self.summary(fps=10.0, infer_p50_ms=9.0), shown))
        assert r"0x\x1b[2Jy.png 2 cat 0.90" in said
        assert "and 10 more frames" in said
        assert "10.0 frames/s end to end, 3.0 s" in said
        assert "preprocess - ms, infer 9.0 ms" in said

    def test_frames_of_a_video_are_told_apart(self):
        shown = detect.FirstFrames()
        for number in range(2):
            shown.emit({"source": "a.mp4", "frame": number, "detections": []})
        said = text(detect.render(self.summary(frames=2, detections=0), shown))
        assert "source frame found best score" in said
        assert "a.mp4 1 nothing -" in said

    def test_nothing_found_and_skipped_sources(self):
        shown = detect.FirstFrames()
        shown.emit({"source": "a.png", "frame": 0, "detections": []})
        skipped = (SkippedSource(source="b.png", problem="not a picture"),)
        said = text(detect.render(self.summary(frames=1, detections=0, skipped=skipped), shown))
        assert "a.png nothing -" in said
        assert "warning: skipped b.png: not a picture" in said
        assert "frames/s" not in said


def test_numbers():
    assert [tables.count(n) for n in (None, 7, 1500, 3_200_000, 4.4e9)] == [
        "-", "7", "1.50 k", "3.20 M", "4.40 G",
    ]  # fmt: skip
    assert tables.lost(Drop(points=-0.5, relative=-0.01)) == "-0.50 points (-1.0 %), a gain"
    assert tables.between(None) is None
    assert list(tables.measured_on(None)) == []


class TestDemo:
    def side(self, value: float) -> DemoSide:
        return DemoSide(map=value, map50=0.9, p50_ms=5, p95_ms=6, samples=99, size_bytes=3_000_000)

    def result(self, **changes: object) -> DemoResult:
        given = {
            "schema": "edgecv.demo/1", "baseline": self.side(0.7), "optimized": self.side(0.69),
            "recipe": "cpu: all", "speedup": 1.5, "size_ratio": 3.5, "pays": True, "images": 300,
            "speedup_interval": Interval(low=1.4, high=1.6), "calibration_images": 64,
            "drop": Drop(points=1.0, relative=0.014), "threads": 2, "rounds": 12, "seconds": 90.0,
            "output": "edgecv-demo", "models": ("a.onnx", "b.onnx"),
            "pictures": ("pictures/1.png",), "report": "edgecv-demo/report.html",
        }  # fmt: skip
        return DemoResult(**{**given, **changes})

    def test_before_after_and_where_it_is(self):
        stock = {"stock": self.side(0.3), "stock_drop": Drop(points=40, relative=0.57)}
        said = text(demo.render(self.result(**stock, stock_speedup=1.6)))
        for part in (
            "mAP50-95 0.700 0.690 0.300",
            "faster 1.50 x",
            "stock drop 40.00 points (57.0 %)",
            "stock faster 1.60 x",
            "mAP on 300 labelled scenes, calibrated on 64 others; 99 timed inferences",
            "report edgecv-demo/report.html",
            "pictures 1, such as pictures/1.png",
        ):
            assert part in said
        assert "warning" not in said

    def test_where_int8_does_not_pay_it_says_so(self):
        said = text(demo.render(self.result(pays=False, pictures=(), warnings=("busy",))))
        assert "int8 does not pay on this machine" in said
        assert "warning: busy" in said
        assert "mAP50-95 0.700 0.690 -" in said
        assert "pictures" not in said
