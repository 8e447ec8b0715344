"""Benchmarks with children that only pretend to take time."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import pytest

from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import (
    ChildFailureError,
    InterruptedByUser,
    ModelError,
    UsageError,
)
from edgecv_cli.measure.latency import BenchRow, benchmark, compare_speed, row_labels
from edgecv_cli.measure.latency_warnings import busy_warning

MS = 1_000_000


class World:
    """Children whose inferences take what the script says; records who was asked what."""

    def __init__(self, **ns):
        self.ns = ns
        self.calls = []
        self.open = set()
        self.failures = {}
        self.drift = 1.0
        self.batches = {}

    def start(self, row):
        return self._child(row.model.stem)

    @contextmanager
    def _child(self, name):
        self.open.add(name)
        try:
            yield Stub(self, name)
        finally:
            self.open.discard(name)


class Stub:
    def __init__(self, world, name):
        self.world, self.name, self.blocks = world, name, 0

    def call(self, method, payload, timeout=None):
        self.world.calls.append((self.name, method, payload))
        self.blocks += method == "block"
        failure = self.world.failures.get((self.name, method))
        if failure is not None and self.blocks > failure[0]:
            raise failure[1]
        if method == "open":
            batch = self.world.batches.get(self.name)
            # As an engine with a model cache: the first launch fills it, the others find it.
            opened = [one for one in self.world.calls if one[:2] == (self.name, "open")]
            cached = len(opened) > 1 if payload["model_cache"] else None
            return {
                "load_ns": 50 * MS, "first_ns": 30 * MS, "provider": "Fake", "batch": batch,
                "from_cache": cached,
            }  # fmt: skip
        if method == "memory":
            return {"peak_rss_bytes": 1000}
        # Every block finds the machine a little slower: what a ratio must not see.
        self.world.drift *= 1.001
        return {"ns": [round(self.world.ns[self.name] * self.world.drift)] * payload["count"]}


def crash():
    return ChildFailureError(
        "timing b: the process crashed with SIGSEGV", remedy="try", reason="crashed", signal=11
    )


def rows(*names):
    return [BenchRow(Path(f"{name}.onnx")) for name in names]


def test_ratios_say_how_many_times_faster_the_second_is():
    world = World(a=20 * MS, b=10 * MS)

    result = benchmark(rows("a", "b"), duration_s=2, context=Context(), start=world.start)

    (ratio,) = result.ratios
    assert (ratio.a, ratio.b) == ("a.onnx", "b.onnx")
    assert ratio.ratio == pytest.approx(2, rel=0.005)
    assert ratio.low <= ratio.ratio <= ratio.high
    assert ratio.low > 1.98


def test_rows_are_reported_in_the_order_that_was_asked_for():
    world = World(a=20 * MS, b=10 * MS)

    result = benchmark(rows("b", "a"), duration_s=2, context=Context(), start=world.start)

    fast, slow = result.runs
    assert (fast.model, slow.model) == ("b.onnx", "a.onnx")
    assert fast.p50_ms == pytest.approx(10, rel=0.1)
    assert slow.p50_ms == pytest.approx(20, rel=0.1)
    assert fast.fps == pytest.approx(1000 / fast.mean_ms)
    assert (fast.load_ms, fast.first_inference_ms, fast.peak_rss_bytes) == (50, 30, 1000)
    assert fast.rounds == result.rounds == 40
    assert fast.samples % 40 == 0
    assert 0.9 * 2000 <= fast.samples * fast.mean_ms <= 1.1 * 2000


def test_a_load_from_the_model_cache_is_asked_for_and_counted():
    world = World(a=20 * MS, b=20 * MS)
    asked = [BenchRow(Path("a.onnx")), BenchRow(Path("b.onnx"), model_cache=True)]

    result = benchmark(asked, duration_s=2, launches=3, context=Context(), start=world.start)

    assert [run.loads_from_cache for run in result.runs] == [None, 2]


def test_a_run_of_several_images_says_so():
    world = World(a=20 * MS, b=40 * MS)
    world.batches = {"a": 1, "b": 4}

    result = benchmark(rows("a", "b"), duration_s=2, context=Context(), start=world.start)

    assert [run.batch for run in result.runs] == [1, 4]
    assert result.runs[1].fps == pytest.approx(4000 / result.runs[1].mean_ms)
    said = [text for text in result.warnings if "images: times are of all of them" in text]
    assert [text.partition(":")[0] for text in said] == ["b.onnx"]


def test_blocks_are_interleaved_one_child_at_a_time():
    world = World(a=20 * MS, b=20 * MS)
    benchmark(rows("a", "b"), duration_s=2, context=Context(), start=world.start)

    measured = [name for name, method, _ in world.calls if method == "block"][-80:]
    pairs = [tuple(measured[i : i + 2]) for i in range(0, 80, 2)]
    assert set(pairs) == {("a", "b"), ("b", "a")}


def test_every_launch_has_processes_of_its_own():
    world = World(a=20 * MS, b=10 * MS)

    result = benchmark(
        rows("a", "b"), duration_s=2, launches=4, context=Context(), start=world.start
    )

    opened = [name for name, method, _ in world.calls if method == "open"]
    assert opened == ["a", "b"] * 4
    assert [run.launches for run in result.runs] == [4, 4]
    assert result.runs[0].rounds == 40
    assert not world.open


def test_a_row_that_fails_in_a_later_launch_is_not_started_again():
    world = World(a=20 * MS, b=10 * MS)
    world.failures["b", "memory"] = (-1, crash())
    world.failures["b", "open"] = (-1, crash())
    started = []

    @contextmanager
    def start(row):
        started.append(row.model.stem)
        if started.count("b") < 2:
            world.failures.pop(("b", "open"), None)
        else:
            world.failures["b", "open"] = (-1, crash())
        with world._child(row.model.stem) as stub:
            yield stub

    result = benchmark(rows("a", "b"), duration_s=2, launches=4, context=Context(), start=start)

    assert started.count("a") == 4
    assert started.count("b") == 2
    assert result.runs[1].error is not None
    assert result.runs[0].samples == 80


def test_what_settles_a_block_is_asked_for_and_not_counted():
    world = World(a=20 * MS, b=400 * MS)
    result = benchmark(rows("a", "b"), duration_s=2, context=Context(), start=world.start)

    asked = {name: payload for name, method, payload in world.calls if method == "block"}
    assert (asked["a"]["settling"], asked["b"]["settling"]) == (1, 0)
    assert result.runs[0].samples == result.runs[0].rounds * asked["a"]["count"]


def test_samples_can_be_asked_for_instead_of_seconds():
    world = World(a=20 * MS, b=10 * MS)
    result = benchmark(
        rows("a", "b"), duration_s=99, samples=64, context=Context(), start=world.start
    )

    assert [run.samples for run in result.runs] == [64, 64]


def test_the_order_depends_on_the_seed_alone():
    def order(seed):
        world = World(a=20 * MS, b=20 * MS, c=20 * MS)
        benchmark(rows("a", "b", "c"), duration_s=2, context=Context(seed=seed), start=world.start)
        return [name for name, method, _ in world.calls if method == "block"]

    assert order(1) == order(1)
    assert order(1) != order(2)


@pytest.mark.parametrize(("method", "after"), [("open", -1), ("block", 1), ("block", 9)])
def test_a_failing_child_becomes_an_error_row_and_the_rest_goes_on(method, after):
    world = World(a=20 * MS, b=10 * MS, c=40 * MS)
    world.failures["b", method] = (after, crash())

    result = benchmark(rows("a", "b", "c"), duration_s=2, context=Context(), start=world.start)

    assert [run.error is None for run in result.runs] == [True, False, True]
    broken = result.runs[1]
    assert broken.error == "crashed: timing b: the process crashed with SIGSEGV"
    assert broken.p50_ms is None
    assert [ratio.b for ratio in result.ratios] == ["c.onnx"]
    assert not world.open


def test_without_its_baseline_nothing_has_a_ratio():
    world = World(a=20 * MS, b=10 * MS)
    world.failures["a", "block"] = (0, crash())

    result = benchmark(rows("a", "b"), duration_s=2, context=Context(), start=world.start)

    assert result.ratios == ()
    assert result.runs[1].p50_ms is not None


def test_if_nothing_can_be_timed_the_first_failure_is_raised():
    world = World(a=20 * MS)
    world.failures["a", "open"] = (-1, ModelError("a.onnx is broken", remedy="export it again"))

    with pytest.raises(ModelError, match="broken"):
        benchmark(rows("a"), duration_s=2, context=Context(), start=world.start)
    assert not world.open


def test_wrong_usage_ends_the_whole_benchmark():
    world = World(a=20 * MS, b=20 * MS)
    world.failures["b", "open"] = (-1, UsageError("there is no engine 'x'", remedy="use another"))

    with pytest.raises(UsageError):
        benchmark(rows("a", "b"), duration_s=2, context=Context(), start=world.start)
    assert not world.open


def test_an_interrupt_ends_the_children():
    world = World(a=20 * MS, b=20 * MS)
    context = Context()
    context.cancel.set()

    with pytest.raises(InterruptedByUser):
        benchmark(rows("a", "b"), duration_s=2, context=context, start=world.start)
    assert not world.open


def test_losing_the_child_after_the_last_round_loses_only_its_memory():
    world = World(a=20 * MS, b=20 * MS)
    world.failures["b", "memory"] = (-1, crash())

    result = benchmark(rows("a", "b"), duration_s=2, context=Context(), start=world.start)

    assert result.runs[1].error is None
    assert result.runs[1].peak_rss_bytes is None
    assert result.runs[1].p50_ms is not None


def test_what_makes_figures_uncertain_is_said():
    class Restless(Stub):
        def call(self, method, payload, timeout=None):
            if method == "block":
                self.blocks += 1
                scale = 2 ** (self.blocks % 16)
                return {"ns": [10 * MS * scale] * payload["count"]}
            return super().call(method, payload, timeout)

    world = World()

    @contextmanager
    def start(row):
        yield Restless(world, row.model.stem)

    result = benchmark(
        [BenchRow(Path("a.onnx"), threads=4096)], duration_s=2, context=Context(), start=start
    )

    said = "\n".join(result.warnings)
    assert "4096 threads share" in said
    assert "not steady after 16 blocks" in said
    assert "a.onnx: spread" in said


def test_a_machine_that_slows_down_is_said():
    world = World(a=20 * MS)

    result = benchmark(rows("a"), duration_s=20, context=Context(), start=world.start)

    assert any("times rose by" in warning for warning in result.warnings)
    short = benchmark(rows("a"), duration_s=2, context=Context(), start=World(a=20 * MS).start)
    assert not any("times rose" in warning for warning in short.warnings)


def test_too_few_samples_for_p99_are_said():
    world = World(a=400 * MS)
    result = benchmark(rows("a"), duration_s=2, context=Context(), start=world.start)

    assert any("with 5 samples, p99" in warning for warning in result.warnings)


def test_a_speed_up_is_the_baselines_time_over_the_candidates():
    world = World(a=30 * MS, b=10 * MS)

    speed = compare_speed(
        Path("a.onnx"),
        Path("b.onnx"),
        engine="onnxruntime",
        threads=1,
        seconds=4,
        context=Context(),
        start=world.start,
    )

    assert speed.ratio == pytest.approx(3, rel=0.01)
    assert speed.low <= speed.ratio <= speed.high
    assert speed.rounds == 40
    assert speed.candidate.p50_ms == pytest.approx(10, rel=0.1)
    assert speed.baseline.samples == 40 * 2


def test_a_speed_up_needs_both():
    world = World(a=30 * MS, b=10 * MS)
    world.failures["b", "block"] = (5, crash())

    with pytest.raises(ChildFailureError):
        compare_speed(
            Path("a.onnx"),
            Path("b.onnx"),
            engine="onnxruntime",
            threads=None,
            seconds=4,
            context=Context(),
            start=world.start,
        )


def test_rows_are_named_apart():
    a, b = Path("a.onnx"), Path("b.onnx")

    assert row_labels([BenchRow(a), BenchRow(b)]) == ("a.onnx", "b.onnx")
    assert row_labels([BenchRow(a), BenchRow(a)]) == ("a.onnx#1", "a.onnx#2")
    assert row_labels([BenchRow(a), BenchRow(a, "openvino")]) == (
        "a.onnx@onnxruntime",
        "a.onnx@openvino",
    )


def test_warnings_name_files_without_their_folders_where_that_is_enough():
    near, far = BenchRow(Path("x/a.onnx")), BenchRow(Path("y/a.onnx"))

    assert row_labels([near, BenchRow(Path("y/b.onnx"))], short=True) == ("a.onnx", "b.onnx")
    assert row_labels([near, far], short=True) == ("x/a.onnx", "y/a.onnx")


@pytest.mark.parametrize(("load", "said"), [(0.0, False), (10_000.0, True)])
def test_a_machine_that_is_busy_before_the_start_is_said(load, said, monkeypatch):
    monkeypatch.setattr("os.getloadavg", lambda: (load, 0.0, 0.0))

    assert (busy_warning() is not None) is said
