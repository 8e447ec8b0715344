"""convert-coreml from file to file, with the converters (and on a Mac Core ML) stood in for.

What the real ones make of the real detectors stands in docs/guides/convert-coreml.md.
"""

from __future__ import annotations

import errno
import importlib.util
import json
import shutil

import core_packages
import models
import numpy as np
import onnx
import pytest
from quantized_nets import quantized_layer

import edgecv_cli.stages.convert_coreml as stage
from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.sidecar import read_sidecar
from edgecv_cli.config.convert_coreml import ConvertCoremlConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import (
    ChildFailureError,
    GateNotMetError,
    MissingDependencyError,
    ModelError,
    OutputError,
    OutputExistsError,
    UsageError,
)
from edgecv_cli.stages.convert_coreml import convert_coreml


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(models.ssd(), path)
    return path


def convert(model, **settings):
    output = settings.pop("output", model.with_name("out.mlpackage"))
    return convert_coreml(ConvertCoremlConfig(model=model, output=output, **settings), Context())


def left(model):
    return sorted(path.name for path in model.parent.iterdir())


def test_a_package_is_read_back_and_carries_spec_and_lineage(model, monkeypatch):
    converter = core_packages.Converter(monkeypatch)
    result = convert(model)

    output = model.with_name("out.mlpackage")
    assert (result.verified, result.precision) == ("structure", "fp16")
    assert result.parity is None
    assert result.agreement is None
    assert result.speedup is None
    assert "unverified" in " ".join(result.notes)
    assert result.package.matched == result.package.layers > 0
    assert result.package.weights == {"float16": sum(np.prod(s) for s in weight_shapes(model))}
    assert result.package.inputs[0].color == converter.orders[0].pictures["images"]
    again = Artifact.open(output)
    assert again.detector().spec == Artifact.open(model).detector().spec
    assert [step.stage for step in again.lineage] == ["convert-coreml"]
    assert [str(spec) for spec in again.facts().inputs] == ["images float32 [1,3,64,64]"]
    assert again.facts().precision == "fp16"
    assert result.sha256 == again.sha256
    assert read_sidecar(output, again.sha256)["saved"] == str(output)
    assert {file.part: file.size_bytes for file in result.files}["model"] == again.size_bytes


def weight_shapes(model):
    graph = onnx.load(model).graph
    shapes = {one.name: tuple(one.dims) for one in graph.initializer}
    return [shapes[n.input[1]] for n in graph.node if n.op_type == "Conv"]


def test_the_same_model_and_options_give_the_same_bytes(model, monkeypatch):
    core_packages.Converter(monkeypatch)
    first = convert(model).sha256
    assert convert(model, force=True).sha256 == first


@pytest.mark.parametrize(
    "change",
    [
        lambda weights: weights * 0,
        lambda weights: weights[::-1].copy(),
        lambda weights: weights + np.float16(0.05),
    ],
    ids=["zeros", "shuffled", "shifted"],
)
def test_a_converter_that_ends_well_with_other_weights_is_caught(model, monkeypatch, change):
    core_packages.Converter(monkeypatch, change=change)
    with pytest.raises(GateNotMetError, match="weights every layer's found again") as caught:
        convert(model)
    assert caught.value.result.to_json()["saved"] is None
    assert left(model) == ["model.onnx"]


def test_what_is_refused_can_be_kept_elsewhere(model, monkeypatch):
    core_packages.Converter(monkeypatch, change=np.zeros_like)
    kept = model.with_name("kept.mlpackage")
    with pytest.raises(GateNotMetError) as caught:
        convert(model, keep_rejected=kept)
    assert caught.value.result.rejected == str(kept)
    assert Artifact.open(kept).facts().op_counts


def test_running_it_can_be_required_and_is_impossible_off_macos(model, monkeypatch):
    core_packages.Converter(monkeypatch)
    core_packages.system(monkeypatch, "Linux")
    with pytest.raises(GateNotMetError, match="Core ML runs on macOS alone") as caught:
        convert(model, require="ran")
    assert caught.value.exit_code == 3
    assert "macOS" in caught.value.remedy
    with pytest.raises(GateNotMetError, match="not measured"):
        convert(model, min_snr=20)
    assert left(model) == ["model.onnx"]


def test_an_operator_that_core_ml_lacks_is_named_with_node_and_remedy(model, monkeypatch):
    stops = [("NonMaxSuppression", ("nms_1", "nms_2"), None), ("GridSample", ("g",), "no mode")]
    core_packages.Converter(monkeypatch, stops=stops)
    with pytest.raises(GateNotMetError, match=r"NonMaxSuppression \(node 'nms_1'\)") as caught:
        convert(model, report=model.with_name("r.html"))
    found = caught.value.result.to_json()
    assert [one["operator"] for one in found["unsupported"]] == ["NonMaxSuppression", "GridSample"]
    assert found["unsupported"][0]["nodes"] == ["nms_1", "nms_2"]
    assert "without NMS" in found["unsupported"][0]["remedy"]
    assert found["unsupported"][1]["reason"] == "no mode"
    assert "verified" not in found
    assert left(model) == ["model.onnx", "r.html"]


@pytest.mark.parametrize(
    "error",
    [
        ChildFailureError("it crashed", remedy="-", reason="crashed"),
        KeyboardInterrupt(),
        ModelError("no", remedy="-"),
    ],
    ids=["crashed", "interrupted", "refused"],
)
def test_a_conversion_that_fails_leaves_nothing(model, monkeypatch, error):
    core_packages.Converter(monkeypatch, error=error)
    with pytest.raises(type(error)):
        convert(model)
    assert left(model) == ["model.onnx"]


def test_a_full_disk_leaves_nothing(model, monkeypatch):
    core_packages.Converter(monkeypatch)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(stage.shutil, "copytree", full)
    with pytest.raises(OutputError, match="No space left"):
        convert(model)
    assert left(model) == ["model.onnx"]


def test_a_package_is_replaced_as_a_whole_and_only_when_asked(model, monkeypatch):
    core_packages.Converter(monkeypatch)
    convert(model)
    output = model.with_name("out.mlpackage")
    (output / "Data" / "stray").write_text("old")
    with pytest.raises(OutputExistsError):
        convert(model)
    convert(model, force=True, precision="fp32")
    assert not (output / "Data" / "stray").exists()
    assert Artifact.open(output).facts().precision == "fp32"
    assert left(model) == ["model.onnx", "out.mlpackage", "out.mlpackage.edgecv.json"]


def test_a_folder_that_is_no_package_is_never_replaced(model, monkeypatch):
    core_packages.Converter(monkeypatch)
    output = model.with_name("out.mlpackage")
    output.mkdir()
    (output / "letters.txt").write_text("mine")
    with pytest.raises(OutputExistsError, match="something else"):
        convert(model, force=True)
    assert (output / "letters.txt").read_text() == "mine"


def test_scaling_stands_in_the_graph_and_names_are_identifiers(tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    network = models.ssd()
    for node in network.graph.node:
        for names in (node.input, node.output):
            names[:] = [{"images": "input.1", "boxes": "758"}.get(name, name) for name in names]
    network.graph.input[0].name = "input.1"
    next(one for one in network.graph.output if one.name == "boxes").name = "758"
    onnx.save(network, path)
    converter = core_packages.Converter(monkeypatch)
    result = convert(path)
    assert [one.feature for one in result.package.inputs] == ["input_1"]
    assert "_758" in [one.feature for one in result.package.outputs]
    assert list(converter.orders[0].pictures) == ["input_1"]
    again = Artifact.open(path.with_name("out.mlpackage"))
    assert {one.name for one in again.facts().outputs} == {"758", "scores"}


def test_a_tensor_can_be_fed_instead_of_a_picture(model, monkeypatch):
    converter = core_packages.Converter(monkeypatch)
    result = convert(model, feed="tensor", precision="fp32")
    assert result.package.inputs[0].color is None
    assert converter.orders[0].pictures == {}


def test_a_quantized_model_is_refused_with_the_way_round(tmp_path, monkeypatch):
    core_packages.Converter(monkeypatch)
    path = tmp_path / "int8.onnx"
    onnx.save(quantized_layer(), path)
    with pytest.raises(UsageError, match="is quantized") as caught:
        convert(path)
    assert "--precision int8-weights" in caught.value.remedy


def test_an_open_size_has_to_be_told(tmp_path, monkeypatch):
    core_packages.Converter(monkeypatch)
    path = tmp_path / "open.onnx"
    network = models.yolov8()
    for axis in (2, 3):
        network.graph.input[0].type.tensor_type.shape.dim[axis].ClearField("value")
    onnx.save(network, path)
    with pytest.raises((UsageError, ModelError)) as caught:
        convert(path)
    assert "--input-size" in caught.value.remedy
    assert left(path) == ["open.onnx"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"output": "x.onnx"}, "does not end in .mlpackage"),
        ({"bits": 5, "precision": "palettize"}, "no palette"),
        ({"bits": 4}, "for --precision palettize"),
        ({"precision": "int8-weights", "minimum_deployment_target": "iOS15"}, "no compressed"),
        ({"engine": "openvino"}, "can't run the result"),
        ({"max_drop": "1%"}, "--max-drop needs labelled images"),
        ({"min_agreement": 0.9}, "--min-agreement needs images"),
    ],
)
def test_options_that_make_no_sense(settings, words):
    with pytest.raises(UsageError, match=words):
        ConvertCoremlConfig(**{"model": "m.onnx", "output": "o.mlpackage", **settings})


def test_what_is_missing_is_named_before_the_work(model, monkeypatch):
    real = importlib.util.find_spec
    hidden = ("coremltools", "onnx2coreml", "sklearn")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in hidden else real(name)
    )
    with pytest.raises(MissingDependencyError) as caught:
        convert(model, precision="palettize")
    assert caught.value.remedy == "pip install coremltools onnx2coreml scikit-learn"


def test_on_a_mac_it_is_run_and_compared(model, monkeypatch):
    core_packages.stand_in(monkeypatch)
    core_packages.Converter(monkeypatch)
    result = convert(model, speed_seconds=0)
    assert result.verified == "ran"
    assert result.parity.snr_db is None or result.parity.snr_db > 60
    assert result.gates["require"] == "at least ran: ran"


def test_the_weights_of_another_package_are_refused_by_name(model, monkeypatch):
    core_packages.Converter(monkeypatch)
    convert(model)
    one = model.with_name("out.mlpackage")
    other = model.with_name("other.mlpackage")
    shutil.copytree(one, other)
    blob = other / "Data/com.apple.CoreML/weights/weight.bin"
    blob.write_bytes(blob.read_bytes()[:-2] + b"\1\1")
    with pytest.raises(ModelError, match="does not hold the weights that it was saved with"):
        Artifact.open(other).facts()
    assert json.loads((one / "Manifest.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "int8-weights"])
def test_the_real_converters_agree(model, precision):
    for name in ("coremltools", "onnx2coreml"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed (pip install edgecv[coreml])")
    result = convert(model, precision=precision)
    assert result.verified == "structure"
    assert result.package.matched == result.package.layers > 0
    assert result.package.operators["conv"] == result.package.layers
    first = result.sha256
    assert convert(model, precision=precision, force=True).sha256 == first


@pytest.mark.slow
def test_coremltools_reads_the_pipeline_that_is_made_of_what_it_converts(model):
    for name in ("coremltools", "onnx2coreml"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed (pip install edgecv[coreml])")
    from coremltools.models.utils import load_spec

    result = convert(model, nms=True)
    whole = load_spec(str(model.with_name("out.mlpackage")))
    detector, nms = whole.pipeline.models
    assert (detector.WhichOneof("Type"), nms.WhichOneof("Type")) == (
        "mlProgram",
        "nonMaximumSuppression",
    )
    assert nms.nonMaximumSuppression.pickTop.perClass
    labels = list(nms.nonMaximumSuppression.stringClassLabels.vector)
    assert len(labels) == result.package.nms.classes
    assert [one.name for one in whole.description.input if one.type.isOptional] == [
        "iouThreshold",
        "confidenceThreshold",
    ]
    assert whole.description.input[1].type.WhichOneof("Type") == "doubleType"
