"""prune from file to file: what is saved, what is refused, and that nothing bad is saved."""

from __future__ import annotations

import importlib.util

import numpy as np
import onnx
import pytest
from models import yolov8
from onnx import numpy_helper
from scenes import write_dataset

import edgecv_cli.stages.prune_choice as choice_module
import edgecv_cli.stages.prune_job as job_module
from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.sidecar import sidecar_path
from edgecv_cli.compress.pruning.allocate import by_macs
from edgecv_cli.config.prune import PruneConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import GateNotMetError, ModelError, OutputExistsError, UsageError
from edgecv_cli.measure.latency_result import SpeedResult
from edgecv_cli.stages.prune import prune, read_given
from edgecv_cli.stages.prune_job import PruneJob

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None,
    reason="torch is not installed: pip install 'edgecv[train]'",
)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "set", images=6, size=(64, 64))


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "in" / "detector.onnx"
    path.parent.mkdir()
    onnx.save(yolov8(planted=True), path)
    return path


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "small.onnx"


def config(model, out, images, /, **changes):
    """Return a quick run that takes any speed."""
    settings = {
        "model": model,
        "output": out,
        "calibration": images,
        "target_flops": 0.9,
        "round_to": 1,
        "importance": "l2",
        "min_agreement": 0,
        "speed_seconds": 0,
        "threads": 1,
    }
    return PruneConfig(**{**settings, **changes})


def test_a_smaller_detector_is_saved_with_all_that_is_known_of_it(model, out, images):
    page = out.with_suffix(".html")
    asked = config(model, out, images, data=images, max_drop="100pt", report=page)
    result = prune(asked, Context())
    saved = Artifact.open(out)
    assert (result.saved, result.sha256) == (str(out), saved.sha256)
    assert saved.detector().spec.family == "yolov8"
    assert [step.stage for step in saved.lineage] == ["prune"]
    assert saved.facts().macs < Artifact.open(model).facts().macs
    assert result.flops_ratio <= 0.92
    assert result.parameters_ratio < 1
    assert result.speedup is None
    assert sum(row.removed for row in result.groups) > 0
    assert result.baseline.map is not None
    assert result.optimized.map is not None
    assert all(fit.after <= fit.before + 1e-9 for fit in result.fits)
    assert sidecar_path(out).is_file()
    assert "Channels of every layer" in page.read_text()
    assert sum(row.before - row.after for row in result.widths) > 0
    onnx.checker.check_model(onnx.load(out), full_check=True)


@pytest.mark.parametrize(
    "importance", ["damage", "activation", pytest.param("taylor", marks=needs_torch)]
)
def test_every_ranking_meets_the_budget(model, out, images, importance):
    result = prune(config(model, out, images, importance=importance), Context())
    assert result.flops_ratio <= 0.92
    measured = [row.damage for row in result.groups if row.damage is not None]
    assert bool(measured) == bool(result.curve) == (importance == "damage")
    if measured:
        parts = [row.flops_ratio for row in result.curve]
        assert parts == sorted(parts, reverse=True)
        assert parts[-1] == pytest.approx(result.flops_ratio)
        assert result.curve_images == 6


def test_runs_of_one_seed_are_the_same_file(model, tmp_path, images):
    places = [tmp_path / "a.onnx", tmp_path / "b.onnx"]
    for place in places:
        prune(config(model, place, images, importance="error"), Context())
    assert places[0].read_bytes() == places[1].read_bytes()


def test_groups_are_shown_without_images(model):
    result = prune(PruneConfig(model=model, show_groups=True), Context())
    assert result.saved is None
    assert result.groups
    assert all(0 < row.macs_share < 1 for row in result.groups)
    assert result.kept
    assert result.flops_ratio is None


def test_a_worse_one_is_refused_and_kept_elsewhere(model, out, tmp_path, images):
    aside = tmp_path / "aside.onnx"
    asked = config(
        model, out, images, target_flops=0.6, cap=0.9, recover="none", data=images,
        max_drop="0.01pt", keep_rejected=aside,
    )  # fmt: skip
    with pytest.raises(GateNotMetError) as caught:
        prune(asked, Context())
    assert not out.exists()
    assert not sidecar_path(out).exists()
    assert aside.is_file()
    assert caught.value.result.rejected == str(aside)
    assert "max_drop" in caught.value.problem


@pytest.mark.parametrize("damage", ["nan", "swapped"])
def test_a_broken_cut_is_never_saved(model, out, images, monkeypatch, damage):
    """Weights that are not a number, or of the wrong channels, meet the gate."""
    cut = choice_module.cut

    def broken(flow, removed):
        made = cut(flow, removed)
        for tensor in made.graph.initializer:
            value = numpy_helper.to_array(tensor)
            if value.ndim == 4:
                wrong = np.full_like(value, np.nan) if damage == "nan" else value[::-1] * 3
                tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(wrong), tensor.name))
        return made

    monkeypatch.setattr(choice_module, "cut", broken)
    asked = config(
        model, out, images, recover="none", data=images, max_drop="3%", min_agreement=None
    )
    with pytest.raises((GateNotMetError, ModelError)):
        prune(asked, Context())
    assert not out.exists()


@pytest.fixture
def clock(monkeypatch):
    """Say 1.1 x of any two files, and that layers take time by their multiply-accumulates."""
    ratio = SpeedResult.model_construct(ratio=1.1, low=1.05, high=1.15)
    monkeypatch.setattr(job_module, "compare_speed", lambda *_rows, **_options: ratio)
    monkeypatch.setattr(job_module, "layer_times", lambda flow, **_options: by_macs(flow))


@pytest.mark.usefixtures("clock")
def test_a_speed_is_reached_by_the_clock(model, out, images, tmp_path):
    asked = config(
        model, out, images, target_flops=None, target_speedup=1.08, speed_seconds=1, recover="none"
    )
    smaller = PruneJob(read_given(asked, Context()), asked, tmp_path, Context()).run()
    assert [speed.ratio for _, speed in smaller.looked.tries] == [1.1]
    assert smaller.looked.tries[0][0] == pytest.approx(smaller.share)
    assert 0.8 < smaller.share < 1 / 1.08


@pytest.mark.usefixtures("clock")
def test_a_speed_out_of_reach_is_refused_with_its_report(model, out, images):
    page = out.with_suffix(".html")
    asked = config(
        model, out, images, target_flops=None, target_speedup=3, speed_seconds=1, report=page
    )
    with pytest.raises(GateNotMetError, match=r"1\.10x") as caught:
        prune(asked, Context())
    assert "--target-speedup 1.10" in caught.value.remedy
    assert caught.value.result.speeds
    assert not out.exists()
    assert "Refused" in page.read_text()


def test_weights_can_be_the_budget(model, out, images):
    result = prune(config(model, out, images, target_flops=None, target_parameters=0.8), Context())
    assert result.parameters_ratio <= 0.82
    with pytest.raises(UsageError, match="can't be met"):
        prune(
            config(model, out, images, target_flops=None, target_parameters=0.01, force=True),
            Context(),
        )


def test_only_one_budget_is_taken(model, out, images):
    with pytest.raises(UsageError, match="both"):
        config(model, out, images, target_speedup=1.2)
    with pytest.raises(UsageError, match="speed-seconds"):
        config(model, out, images, target_flops=None, target_speedup=1.2)


def test_a_budget_out_of_reach_says_the_nearest(model, out, images):
    with pytest.raises(UsageError, match=r"can't be met") as caught:
        prune(config(model, out, images, target_flops=0.05, cap=0.3), Context())
    assert "--target-flops 0." in caught.value.remedy
    assert not out.exists()


def test_bad_input_is_refused_before_the_work(model, out, images, tmp_path):
    with pytest.raises(UsageError, match="how much"):
        PruneConfig(model=model, output=out, calibration=images)
    with pytest.raises(UsageError, match="labelled"):
        config(model, out, images, max_drop="1%")
    out.write_bytes(b"mine")
    with pytest.raises(OutputExistsError):
        prune(config(model, out, images), Context())
    assert out.read_bytes() == b"mine"
    bare = tmp_path / "bare.onnx"
    whole = yolov8(planted=True)
    del whole.graph.initializer[:]
    onnx.save(whole, bare)
    with pytest.raises(ModelError):
        prune(config(bare, tmp_path / "x.onnx", images), Context())
