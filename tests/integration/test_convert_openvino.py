"""convert-openvino from file to file: what is saved runs alone, and nothing bad is saved."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import models
import onnx
import pytest
from onnx import helper, numpy_helper
from scenes import write_dataset

import edgecv_cli.stages.convert_openvino_job as job_module
import edgecv_cli.stages.converting.int8_form as int8_module
from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.sidecar import read_sidecar
from edgecv_cli.config.compare import CompareConfig
from edgecv_cli.config.convert_openvino import ConvertOpenVinoConfig
from edgecv_cli.config.evaluate import EvaluateConfig
from edgecv_cli.config.quantize import QuantizeConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import (
    EngineError,
    GateNotMetError,
    InterruptedByUser,
    MissingDependencyError,
    ModelError,
    OutputExistsError,
    UnrecognisedError,
    UsageError,
)
from edgecv_cli.runtime.opening import open_runner
from edgecv_cli.stages.compare import compare
from edgecv_cli.stages.convert_openvino import convert_openvino
from edgecv_cli.stages.evaluate import evaluate
from edgecv_cli.stages.quantize import quantize

SHARED = Path(__file__).resolve().parents[3] / "shared"

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None,
    reason="the package openvino is not installed: pip install -e '.[openvino]'",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "set", images=8, size=(64, 64))


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "in" / "größe a.onnx"
    path.parent.mkdir()
    onnx.save(models.yolov8(planted=True), path)
    return path


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out folder"
    folder.mkdir()
    return folder / "modell.xml"


@pytest.fixture(scope="module")
def made(tmp_path_factory, data):
    """An int8 form of the detector, by one recipe at any speed, and what quantize reported."""
    folder = tmp_path_factory.mktemp("quantized")
    model, path = saved(models.yolov8(planted=True), folder / "m.onnx"), folder / "int8.onnx"
    config = QuantizeConfig(
        model=model, output=path, calibration=data / "images", target="openvino", threads=1,
        placement="last", estimator="minmax", bias_correction="off", equalisation="off",
        adaptive_rounding="off", min_speedup=0.0, min_agreement=0.0, speed_seconds=0.1,
    )  # fmt: skip
    return path, quantize(config, Context())


@pytest.fixture
def quantized(made):
    return made[0]


def run(model, out, /, **options):
    settings = {"model": model, "output": out, "speed_seconds": 0, "threads": 1, **options}
    return convert_openvino(ConvertOpenVinoConfig(**settings), Context())


def left_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_what_is_saved_was_run_and_is_the_same_detector(model, out, data, precision):
    result = run(model, out, precision=precision, images=data / "images")

    saved, source = Artifact.open(out), Artifact.open(model)
    assert result.verified == "ran"
    assert result.agreement == 1.0
    assert result.parity.snr_db > 30
    assert [one.output for one in result.parity.outputs] == ["output0, boxes", "output0, scores"]
    assert result.precision == precision == saved.facts().precision
    assert result.layers.endswith(" layers")
    assert left_in(out.parent) == ["modell.bin", "modell.xml", "modell.xml.edgecv.json"]
    assert [file.part for file in result.files] == ["weights", "model"]
    assert sum(file.size_bytes for file in result.files) == saved.size_bytes
    assert result.sha256 == saved.sha256
    assert saved.detector().spec == source.detector().spec == result.spec
    assert saved.lineage[-1].stage == "convert-openvino"
    assert saved.lineage[-1].parents == (source.content_digest,)
    measured = read_sidecar(out, result.sha256)
    assert measured["spec"]["family"] == "yolov8"
    assert measured["provenance"][-1]["stage"] == "convert-openvino"


def test_the_same_model_gives_the_same_bytes(model, out):
    first = run(model, out)
    second = run(model, out.with_name("other.xml"))

    assert [file.sha256 for file in first.files] == [file.sha256 for file in second.files]


def test_other_commands_read_it_without_the_original(model, out, data):
    run(model, out)
    before = evaluate(EvaluateConfig(model=model, data=data, threads=1), Context())
    model.unlink()

    after = evaluate(EvaluateConfig(model=out, data=data, engine="openvino", threads=1), Context())
    same = compare(
        CompareConfig(a=out, b=out, images=data / "images", engine="openvino", threads=1),
        Context(),
    )

    assert before.map > 0.5
    assert after.map == pytest.approx(before.map, abs=1e-3)
    assert after.provenance[-1].stage == "convert-openvino"
    assert same.agreement == 1.0


def test_labels_give_accuracy_of_both_and_images_speed(model, out, data):
    result = run(model, out, data=data, speed_seconds=0.1)

    assert result.baseline.map == pytest.approx(result.converted.map, abs=1e-3)
    assert abs(result.drop.points) < 0.1
    assert result.agreement == 1.0
    assert result.how.agreement_source == "--data"
    assert set(result.gates) == {"structure", "require", "max_drop"}
    assert result.speedup > 0
    assert result.baseline.samples > 0
    assert result.converted.p50_ms > 0


def test_an_open_size_and_batch_are_fixed_and_said(tmp_path, out):
    path = tmp_path / "open.onnx"
    onnx.save(models.yolov8(dynamic="size"), path)

    with pytest.raises(UnrecognisedError, match="any size") as caught:
        run(path, out)
    assert "--input-size" in caught.value.remedy
    result = run(path, out, input_size=(64, 96))

    assert Artifact.open(out).facts().inputs[0].shape == (1, 3, 64, 96)
    assert any("[1, 3, 64, 96]" in note for note in result.notes)


def test_an_open_batch_stays_open_where_that_is_asked(tmp_path, out):
    path = tmp_path / "open.onnx"
    onnx.save(models.yolov8(dynamic="batch"), path)

    run(path, out, dynamic_batch=True)

    assert Artifact.open(out).facts().inputs[0].shape == (None, 3, 64, 64)


class TestInt8:
    def test_a_quantized_model_keeps_its_integers_and_its_history(self, quantized, out, data):
        result = run(quantized, out, images=data / "images")

        saved = Artifact.open(out)
        assert result.precision == saved.facts().precision == "int8"
        assert "int8" in result.layers
        assert result.how.exact
        assert [step.stage for step in saved.lineage] == ["quantize", "convert-openvino"]
        assert result.agreement >= 0.9

    @pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
    def test_it_is_refused_where_float_is_asked_for(self, quantized, out, precision):
        with pytest.raises(ModelError, match="quantized already") as caught:
            run(quantized, out, precision=precision)

        assert "float model" in caught.value.remedy
        assert left_in(out.parent) == []

    def test_there_is_nothing_to_calibrate_of_it(self, quantized, out, data):
        with pytest.raises(UsageError, match="nothing to calibrate"):
            run(quantized, out, precision="int8", calibration=data / "images")


def test_a_float_model_is_quantized_on_the_way(model, out, data, made, monkeypatch):
    path, reported = made
    asked = []

    def quick(config, _):
        asked.append(config)
        shutil.copyfile(path, config.output)
        return reported

    monkeypatch.setattr(int8_module, "quantize", quick)

    result = run(
        model, out, precision="int8", quantizer="edgecv", calibration=data / "images",
        min_agreement=0.5,
    )  # fmt: skip

    assert (asked[0].target, asked[0].calibration) == ("openvino", data / "images")
    assert Artifact.open(out).facts().precision == "int8"
    assert result.quantized.calibration.images == 8
    assert result.how.agreement_source == "--calibration"
    assert result.agreement >= 0.5
    assert result.model == str(model)
    assert [step.stage for step in result.provenance] == ["quantize", "convert-openvino"]


def test_what_quantize_refuses_is_a_refused_conversion(model, out, data, made, monkeypatch):
    def refuse(*_):
        raise GateNotMetError("slower", remedy="leave it", result=made[1])

    monkeypatch.setattr(int8_module, "quantize", refuse)

    with pytest.raises(GateNotMetError) as refused:
        run(model, out, precision="int8", quantizer="edgecv", calibration=data / "images")

    printed = refused.value.result.to_json()
    assert printed["schema"] == "edgecv.convert-openvino/1"
    assert printed["saved"] is None
    assert "verified" not in printed
    assert left_in(out.parent) == []


class TestGates:
    def test_a_refused_result_is_not_saved_but_kept_where_asked(self, model, out, tmp_path):
        kept = tmp_path / "kept.xml"

        with pytest.raises(GateNotMetError, match="min_snr at least 200 dB") as refused:
            run(model, out, precision="fp16", min_snr=200.0, keep_rejected=kept)

        printed = refused.value.result.to_json()
        assert printed["saved"] is None
        assert printed["rejected"] == str(kept)
        assert printed["verified"] == "ran"
        json.dumps(printed, allow_nan=False)
        assert left_in(out.parent) == []
        assert open_runner(Artifact.open(kept), "openvino").execution.engine == "openvino"

    def test_a_converter_that_writes_another_network_is_caught_by_the_run(
        self, model, out, data, tmp_path, monkeypatch
    ):
        wrong = tmp_path / "wrong.onnx"
        changed = onnx.load(model)
        convs = {node.input[1] for node in changed.graph.node if node.op_type == "Conv"}
        for weight in changed.graph.initializer:
            if weight.name in convs:
                turned = -numpy_helper.to_array(weight)
                weight.CopyFrom(numpy_helper.from_array(turned, weight.name))
        onnx.save(changed, wrong)
        write = job_module.write_ir
        monkeypatch.setattr(
            job_module, "write_ir", lambda _, *rest, **how: write(wrong, *rest, **how)
        )

        with pytest.raises(GateNotMetError, match="min_snr"):
            run(model, out)
        with pytest.raises(GateNotMetError, match="min_agreement"):
            run(model, out, images=data / "images")
        assert left_in(out.parent) == []

    def test_a_network_with_another_interface_is_caught(self, model, out, tmp_path, monkeypatch):
        other = tmp_path / "other.onnx"
        onnx.save(models.yolov8(nc=5), other)
        write = job_module.write_ir
        monkeypatch.setattr(
            job_module, "write_ir", lambda _, *rest, **how: write(other, *rest, **how)
        )

        with pytest.raises(GateNotMetError, match=r"structure .*output output0"):
            run(model, out)

    def test_a_device_that_is_not_here_is_saved_only_where_that_is_enough(self, model, out):
        with pytest.raises(GateNotMetError, match="require at least ran: structure") as refused:
            run(model, out, engine="openvino:gpu.7")
        assert "--require structure" in refused.value.remedy
        with pytest.raises(GateNotMetError, match="min_snr not measured"):
            run(model, out, engine="openvino:gpu.7", require="structure", min_snr=1.0)

        result = run(model, out, engine="openvino:gpu.7", require="structure")

        assert result.verified == "structure"
        assert "no device 'gpu.7'" in result.unverified
        assert result.parity is None
        assert any("unverified" in note for note in result.notes)

    def test_a_speed_that_is_not_reached_is_refused(self, model, out):
        with pytest.raises(GateNotMetError, match="min_speedup at least 900x"):
            run(model, out, min_speedup=900.0, speed_seconds=0.1)

    def test_nothing_found_is_no_agreement(self, tmp_path, out, data):
        blind = tmp_path / "blind.onnx"
        onnx.save(models.yolov8(planted=False), blind)

        with pytest.raises(GateNotMetError, match="neither finds anything"):
            run(blind, out, images=data / "images")


class TestBadInput:
    def test_an_operator_that_openvino_lacks_is_named_with_its_node(self, tmp_path, out):
        net = models.yolov8(planted=True)
        last = net.graph.node[-1]
        last.input[0], source = "made", last.input[0]
        net.graph.node.insert(
            len(net.graph.node) - 1,
            helper.make_node("Fancy", [source], ["made"], name="fancy one", domain="com.acme"),
        )
        net.opset_import.add(domain="com.acme", version=1)
        spec = Artifact.open(saved(models.yolov8(planted=True), tmp_path / "plain.onnx"))
        net.metadata_props.add(key="edgecv.spec", value=spec.detector().spec.dumps())

        with pytest.raises(ModelError, match=r"no operator for com.acme.Fancy \(node 'fancy one'"):
            run(saved(net, tmp_path / "net.onnx"), out)
        assert left_in(out.parent) == []

    def test_int8_of_a_float_model_asks_for_images(self, model, out):
        with pytest.raises(UsageError, match="images to calibrate") as caught:
            run(model, out, precision="int8")
        assert "--calibration" in caught.value.remedy

    def test_float16_weights_do_not_become_float32(self, tmp_path, out):
        half = saved(models.halved(models.yolov8()), tmp_path / "half.onnx")

        with pytest.raises(UsageError, match="float16"):
            run(half, out, precision="fp32")
        assert run(half, out).precision == "fp16"

    def test_an_ir_is_not_converted_again(self, model, out):
        run(model, out)
        with pytest.raises(ModelError, match="no ONNX model"):
            run(out, out.with_name("again.xml"))

    def test_a_missing_package_names_the_line_that_installs_it(self, model, out, monkeypatch):
        monkeypatch.setitem(sys.modules, "openvino", None)
        with pytest.raises(MissingDependencyError) as caught:
            run(model, out)
        assert caught.value.remedy == "pip install openvino"

    @pytest.mark.parametrize("name", ["modell.xml", "modell.bin", "modell.xml.edgecv.json"])
    def test_what_stands_already_is_not_replaced_unasked(self, model, out, name):
        (out.parent / name).write_text("mine")

        with pytest.raises(OutputExistsError, match=name):
            run(model, out)
        assert (out.parent / name).read_text() == "mine"
        run(model, out, force=True)
        assert open_runner(Artifact.open(out), "openvino")


class TestInterrupted:
    def test_a_stop_amid_the_work_leaves_nothing(self, model, out, data):
        context = Context()
        context.cancel.set()
        config = ConvertOpenVinoConfig(model=model, output=out, images=data / "images")

        with pytest.raises(InterruptedByUser):
            convert_openvino(config, context)
        assert left_in(out.parent) == []

    def test_weights_of_another_model_are_refused_by_name(self, model, out, tmp_path):
        """What a kill between two renames would leave, where an older pair was replaced."""
        run(model, out)
        older = saved(models.yolov8(planted=True, seed=5), tmp_path / "older.onnx")
        run(older, out.with_name("older.xml"))
        out.with_name("older.bin").replace(out.with_suffix(".bin"))

        with pytest.raises(ModelError, match=r"modell.bin' does not hold the weights"):
            open_runner(Artifact.open(out), "openvino")

    def test_missing_weights_are_said(self, model, out):
        run(model, out)
        out.with_suffix(".bin").unlink()

        with pytest.raises(EngineError) as caught:
            open_runner(Artifact.open(out), "openvino")
        assert ".bin" in caught.value.remedy


def saved(model, path):
    onnx.save(model, path)
    return path


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "fastestdet_352",
        "nanodet_plus_m_416",
        "ssd_mobilenet_v1_300",
        "yolov6lite_s_320",
        "yolov8n_640",
        "yolox_nano_416",
    ],
)
def test_real_detectors_find_the_same_in_half_precision(name, out):
    source, images = SHARED / "models" / f"{name}.onnx", SHARED / "data" / "validation" / "images"
    if not source.exists() or not images.exists():
        pytest.skip("needs the real detectors and images of ../shared")

    result = run(source, out, precision="fp16", images=images, limit=12)

    assert result.agreement >= 0.99
    assert result.parity.snr_db > 30
    assert result.converted.size_bytes < result.baseline.size_bytes
