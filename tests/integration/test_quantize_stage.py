"""quantize from file to file: what is saved, what is refused, and that nothing bad is saved."""

from __future__ import annotations

import json
import shutil

import numpy as np
import onnx
import pytest
from models import classifier, ssd, yolov8, yolox
from scenes import write_dataset

import edgecv_cli.compress.quantization.apply as apply_module
from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.sidecar import read_sidecar, sidecar_path
from edgecv_cli.compress.quantization.plan import QuantizePlan
from edgecv_cli.config.common import MaxDrop
from edgecv_cli.config.quantize import QuantizeConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import (
    ConfigError,
    DataError,
    EdgeCVError,
    GateNotMetError,
    InterruptedByUser,
    ModelError,
    OutputExistsError,
    UnrecognisedError,
    UsageError,
)
from edgecv_cli.stages.quantize import quantize


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "set", images=12, size=(64, 64))


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "in" / "detector.onnx"
    path.parent.mkdir()
    onnx.save(yolov8(planted=True), path)
    return path


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder / "int8.onnx"


def config(model, out, data, /, **changes):
    """Fast and decisive: one recipe, any speed; planted weights lose more than trained ones."""
    settings = {
        "model": model,
        "output": out,
        "calibration": data,
        "data": data,
        "placement": "last",
        "estimator": "minmax",
        "bias_correction": "on",
        "equalisation": "off",
        "adaptive_rounding": "off",
        "min_speedup": 0.0,
        "speed_seconds": 0.2,
        "threads": 1,
        "max_drop": MaxDrop(20.0, "%") if changes.get("data", data) else None,
        **changes,
    }
    return QuantizeConfig(**settings)


def left_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("build", [yolov8, yolox, ssd], ids=["yolov8", "yolox", "ssd"])
def test_a_good_candidate_is_saved_with_all_that_was_measured(build, tmp_path, out, data):
    source = tmp_path / "source.onnx"
    onnx.save(build(planted=True), source)

    result = quantize(config(source, out, data), Context())

    saved = Artifact.open(out)
    assert result.saved == str(out)
    assert result.sha256 == saved.sha256
    assert result.optimized.size_bytes == saved.size_bytes
    assert result.drop.relative <= 0.2
    assert result.baseline.map > 0.5
    assert result.calibration.images == 12
    assert 0 < result.int8_macs_share <= 1
    assert result.layers.by_precision["int8"] > 0
    assert saved.lineage[-1].stage == "quantize"
    assert saved.lineage[-1].parents == (Artifact.open(source).content_digest,)
    assert saved.detector().spec.family == Artifact.open(source).detector().spec.family
    assert saved.facts().precision in {"int8", "mixed"}
    assert left_in(out.parent) == [out.name, sidecar_path(out).name]


def test_the_sidecar_holds_the_figures_of_these_bytes(model, out, data):
    result = quantize(config(model, out, data), Context())

    measured = read_sidecar(out, result.sha256)

    assert measured["optimized"]["map"] == result.optimized.map
    with pytest.raises(ModelError, match="another file"):
        read_sidecar(out, "0" * 64)


def test_json_has_saved_even_when_nothing_was(model, out, data):
    with pytest.raises(GateNotMetError) as refused:
        quantize(config(model, out, data, min_speedup=500.0), Context())

    printed = refused.value.result.to_json()
    assert printed["saved"] is None
    assert printed["baseline"]["map"] > 0
    assert left_in(out.parent) == []
    json.dumps(printed)


def test_auto_keeps_fp32_where_int8_does_not_pay(model, out, data):
    result = quantize(config(model, out, data, precision="auto", min_speedup=500.0), Context())

    assert result.precision == "fp32"
    assert any("fp32 is kept" in note for note in result.notes)
    assert Artifact.open(out).facts().precision == "fp32"
    assert result.optimized.size_bytes == out.stat().st_size


def test_the_best_rejected_is_kept_where_asked(model, out, data, tmp_path):
    keep = tmp_path / "rejected.onnx"
    with pytest.raises(GateNotMetError) as refused:
        quantize(config(model, out, data, min_speedup=500.0, keep_rejected=keep), Context())

    assert refused.value.result.rejected == str(keep)
    assert Artifact.open(keep).facts().precision in {"int8", "mixed"}
    assert left_in(out.parent) == []


def test_without_labels_agreement_is_the_gate(model, out, data):
    result = quantize(config(model, out, data / "images", data=None), Context())
    assert result.drop is None
    assert result.optimized.map is None
    assert result.agreement >= 0.9
    assert set(result.gates) == {"min_agreement"}


def test_an_agreement_that_is_asked_for_is_judged_beside_the_drop(model, out, data):
    assert config(model, out, data).agreement_gate is None
    result = quantize(config(model, out, data, min_agreement=0.1), Context())
    assert set(result.gates) == {"max_drop", "min_agreement"}


@pytest.mark.parametrize("placement", ["last", "auto"])
def test_a_model_that_leaves_its_size_open_is_fixed_to_the_size_given(
    placement, out, data, tmp_path
):
    model = yolov8(planted=True)
    for axis, name in ((2, "height"), (3, "width")):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    del model.graph.value_info[:]
    path, plan = tmp_path / "open.onnx", tmp_path / "plan.json"
    onnx.save(model, path)

    changes = {"placement": placement, "input_size": (64, 64), "save_plan": plan}
    result = quantize(config(path, out, data, **changes), Context())

    assert result.speedup is not None
    again = quantize(config(path, out.with_name("again.onnx"), data, plan=plan), Context())
    assert again.sha256 == result.sha256


def test_a_saved_plan_gives_the_same_bytes(model, out, data, tmp_path):
    plan = tmp_path / "plan.json"
    first = quantize(config(model, out, data, save_plan=plan), Context())
    again = out.with_name("again.onnx")

    second = quantize(config(model, again, data, plan=plan), Context())

    assert first.plan == str(plan)
    assert second.sha256 == first.sha256


def test_a_plan_keeps_the_target_that_it_was_made_for(model, out, data, tmp_path, monkeypatch):
    import edgecv_cli.compress.quantization.targets as targets

    monkeypatch.setattr(targets, "has_vnni", lambda: False)
    plan = tmp_path / "plan.json"
    quantize(config(model, out, data, target="cpu-x86-vnni", min_speedup=None, save_plan=plan),
             Context())  # fmt: skip
    again = out.with_name("again.onnx")

    replayed = quantize(config(model, again, data, plan=plan, min_speedup=None), Context())

    assert replayed.target == "cpu-x86-vnni"
    assert replayed.speedup is None
    with pytest.raises(UsageError, match="made for cpu-x86-vnni"):
        quantize(
            config(model, out.with_name("other.onnx"), data, plan=plan, target="cpu-x86"), Context()
        )


def test_a_plan_of_another_model_is_refused_before_the_work(model, out, data, tmp_path):
    plan = tmp_path / "plan.json"
    quantize(config(model, out, data, save_plan=plan), Context())
    text = plan.read_text()
    plan.write_text(text.replace(QuantizePlan.read(plan).source, "0" * 64))
    with pytest.raises(ConfigError, match="another model"):
        quantize(config(model, out.with_name("again.onnx"), tmp_path / "no-data", plan=plan,
                        calibration=data), Context())  # fmt: skip


@pytest.mark.parametrize("taken", ["sidecar", "output", "save_plan", "keep_rejected"])
def test_a_taken_name_is_refused_before_the_work(taken, model, out, data, monkeypatch):
    def no_work(*arguments, **options):
        raise AssertionError("the work began")

    monkeypatch.setattr(Artifact, "detector", no_work)
    changes = {}
    if taken == "sidecar":
        sidecar_path(out).write_text("mine")
    elif taken == "output":
        out.mkdir()
    else:
        changes[taken] = out.with_name("folder.onnx")
        changes[taken].mkdir()
    with pytest.raises(OutputExistsError):
        quantize(config(model, out, data, **changes), Context())


def test_the_search_compares_placements_and_says_what_it_found(model, out, data):
    wide = config(model, out, data, placement="auto", estimator="auto", bias_correction="auto")
    result = quantize(wide, Context())

    assert len(result.candidates) >= 2
    assert all(row.self_map is not None for row in result.candidates)
    assert sum(row.verdict == "met" for row in result.candidates) == 1


def swapped(original):
    def quantize_weights(weight, bias, **options):
        stored = original(weight, bias, **options)
        return type(stored)(stored.weight, stored.scales[::-1] * 50, stored.axis, stored.bias)

    return quantize_weights


def shuffled(original):
    def quantize_weights(weight, bias, **options):
        order = np.random.default_rng(0).permutation(weight.shape[options["axis"]])
        return original(np.take(weight, order, options["axis"]), bias, **options)

    return quantize_weights


def not_a_number(original):
    def quantize_weights(weight, bias, **options):
        stored = original(weight, bias, **options)
        broken = np.full_like(stored.scales, np.nan)
        return type(stored)(stored.weight, broken, stored.axis, None)

    return quantize_weights


@pytest.mark.parametrize("labelled", [True, False], ids=["mAP", "agreement"])
@pytest.mark.parametrize("mutation", [swapped, shuffled, not_a_number])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_broken_artifact_is_never_saved(mutation, labelled, model, out, data, monkeypatch):
    monkeypatch.setattr(apply_module, "quantize_weights", mutation(apply_module.quantize_weights))
    asked = config(
        model,
        out,
        data,
        data=data if labelled else None,
        placement="all",
        bias_correction="off",
    )

    with pytest.raises(EdgeCVError) as refused:
        quantize(asked, Context())

    assert isinstance(refused.value, GateNotMetError)
    assert left_in(out.parent) == []


def test_images_that_can_not_be_decoded_are_counted_and_named(model, out, data, tmp_path):
    folder = tmp_path / "calibration"
    shutil.copytree(data / "images", folder)
    (folder / "broken.png").write_bytes(b"no picture")

    result = quantize(config(model, out, data, calibration=folder), Context())

    assert result.calibration.images == 12
    assert len(result.calibration.skipped) == 1
    assert "broken.png" in result.calibration.skipped[0]


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"calibration": "nowhere"}, DataError),
        ({"data": "nowhere"}, DataError),
        ({"engine": "nothing"}, UsageError),
        ({"placement": "last2-depthwise-float", "model": "classifier"}, UnrecognisedError),
    ],
    ids=["no-calibration", "no-data", "no-engine", "classifier"],
)
def test_bad_input_is_refused_before_anything_is_written(changes, kind, model, out, data, tmp_path):
    onnx.save(classifier(), tmp_path / "classifier.onnx")
    paths = {"nowhere": tmp_path / "nowhere", "classifier": tmp_path / "classifier.onnx"}
    with pytest.raises(kind):
        quantize(
            config(model, out, data, **{k: paths.get(v, v) for k, v in changes.items()}), Context()
        )
    assert left_in(out.parent) == []


def test_a_quantized_model_is_not_quantized_again(model, out, data):
    quantize(config(model, out, data), Context())
    with pytest.raises(ModelError, match="already"):
        quantize(config(out, out.with_name("twice.onnx"), data), Context())


def test_an_existing_output_and_the_input_itself_are_refused(model, out, data):
    out.write_bytes(b"mine")
    with pytest.raises(OutputExistsError):
        quantize(config(model, out, data), Context())
    with pytest.raises(OutputExistsError):
        quantize(config(model, model, data, force=True), Context())
    assert out.read_bytes() == b"mine"


def test_cancelling_leaves_nothing(model, out, data):
    context = Context()
    context.cancel.set()
    with pytest.raises(InterruptedByUser):
        quantize(config(model, out, data), context)
    assert left_in(out.parent) == []


def test_a_speed_gate_for_another_machine_is_refused(model, out, data, monkeypatch):
    import edgecv_cli.compress.quantization.targets as targets

    monkeypatch.setattr(targets, "has_vnni", lambda: False)
    with pytest.raises(UsageError, match="can't be judged here"):
        quantize(config(model, out, data, target="cpu-x86-vnni", min_speedup=1.2), Context())


@pytest.mark.parametrize("asked", [None, 0])
def test_speed_of_another_machine_is_absent_and_said(model, out, data, monkeypatch, asked):
    import edgecv_cli.compress.quantization.targets as targets

    monkeypatch.setattr(targets, "has_vnni", lambda: True)
    result = quantize(config(model, out, data, target="cpu-x86", min_speedup=asked), Context())
    assert result.speedup is None
    assert result.optimized.p50_ms is None
    assert any("speed was not measured" in note for note in result.notes)
    assert "speedup" not in result.to_json()
