"""An OpenVINO model's interface, metadata and size, read from its XML alone."""

from __future__ import annotations

import importlib.util
from contextlib import suppress
from pathlib import Path

import models
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.errors import ModelError, UsageError
from edgecv_cli.core.tensors import TensorSpec

IR = """<?xml version="1.0"?>
<net name="n" version="11">
 <layers>
  <layer id="0" name="images" type="Parameter" version="opset1">
   <data shape="{shape}" element_type="u8"/>
   <output><port id="0" precision="U8" names="images"><dim>1</dim></port></output>
  </layer>
  <layer id="1" name="w" type="Const" version="opset1">
   <data element_type="{weights}" shape="16,3,3,3" offset="0" size="432"/>
  </layer>
  <layer id="2" name="s" type="Const" version="opset1">
   <data element_type="f32" shape="" offset="432" size="4"/>
  </layer>
  <layer id="3" name="scores/sink_port_0" type="Result" version="opset1">
   <input>
    <port id="0" precision="FP32"><dim>1</dim><dim>-1</dim><dim>80</dim></port>
   </input>
  </layer>
 </layers>
 <edges/>
 <rt_info>
  <Runtime_version value="2026"/>
  <framework><task value="detect"/><info name="a b" value="c"/></framework>
 </rt_info>
</net>"""


def opened(folder, text=None, *, shape="1,3,64,96", weights="i8"):
    path = folder / "model.xml"
    path.write_text(IR.format(shape=shape, weights=weights) if text is None else text)
    return Artifact.open(path)


def test_the_interface_is_as_the_layers_say(tmp_path):
    facts = opened(tmp_path).facts()

    assert facts.inputs == (TensorSpec("images", (1, 3, 64, 96), "uint8"),)
    assert facts.outputs == (TensorSpec("scores", (1, None, 80), "float32"),)
    assert facts.input_size == (64, 96)
    assert facts.op_counts == {"Parameter": 1, "Const": 2, "Result": 1}
    assert facts.parameters == 16 * 3 * 3 * 3
    assert facts.tail is None
    assert facts.macs is None


def test_metadata_that_came_with_the_model_is_kept(tmp_path):
    assert opened(tmp_path).metadata == {"task": "detect", "a b": "c"}


@pytest.mark.parametrize(("weights", "said"), [("i8", "int8"), ("f16", "fp16"), ("f32", "fp32")])
def test_precision_is_what_most_weights_are_stored_in(tmp_path, weights, said):
    assert opened(tmp_path, weights=weights).facts().precision == said


@pytest.mark.parametrize("shape", ["?,3,?,?", "1..8,3,32..640,?"])
def test_an_open_size_is_the_one_that_is_asked_for(tmp_path, shape):
    artifact = opened(tmp_path, shape=shape)

    assert artifact.facts().inputs[0].shape == (None, 3, None, None)
    assert artifact.facts().input_size is None
    assert artifact.facts((32, 64)).input_size == (32, 64)


def test_a_size_that_is_fixed_is_not_changed(tmp_path):
    with pytest.raises(UsageError, match="runs at 64x96"):
        opened(tmp_path).facts((32, 64))
    assert opened(tmp_path).facts((64, 96)).input_size == (64, 96)


def test_the_weights_beside_it_count(tmp_path):
    artifact = opened(tmp_path)
    (tmp_path / "model.bin").write_bytes(b"w" * 436)

    assert artifact.size_bytes == artifact.path.stat().st_size + 436


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not xml",
        "<net/>",
        "<net><layers><layer name='x' type='Parameter'/></layers></net>",
        '<?xml version="1.0"?><!DOCTYPE net [<!ENTITY a "aa">]><net>&a;</net>',
        IR.format(shape="1,3,8,8", weights="f32").replace("<dim>-1</dim>", "<dim>much</dim>"),
        IR.format(shape="1,3,8,8", weights="f32")[:400],
    ],
)
def test_what_is_no_model_is_refused_in_words(tmp_path, text):
    with pytest.raises(ModelError, match=r"model\.xml' is no OpenVINO model") as caught:
        opened(tmp_path, text).facts()

    assert ".onnx" in caught.value.remedy


def test_the_content_digest_leaves_out_edgecvs_own_entries(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"w" * 436)
    plain = IR.format(shape="1,3,8,8", weights="i8")
    ours = '<framework><edgecv.spec value="{}"/><info name="edgecv.lineage" value="[]"/>'
    digest = opened(tmp_path).content_digest
    same = opened(tmp_path, IR.format(shape="1,3,64,96", weights="i8").replace("<framework>", ours))

    assert same.content_digest == digest
    assert same.metadata["edgecv.spec"] == "{}"
    assert opened(tmp_path, plain).content_digest != digest
    (tmp_path / "model.bin").write_bytes(b"v" * 436)
    assert opened(tmp_path).content_digest != digest


def test_without_its_weights_a_model_has_no_digest(tmp_path):
    with pytest.raises(ModelError, match=r"model\.bin"):
        _ = opened(tmp_path).content_digest


def test_the_graph_itself_is_not_looked_into(tmp_path):
    with pytest.raises(ModelError, match="no ONNX model"):
        _ = opened(tmp_path).model


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_is_read_or_refused_never_a_crash(tmp_path, data):
    text = IR.format(shape="1,3,8,8", weights="f32")
    place = data.draw(st.integers(0, len(text) - 1))
    cut = data.draw(st.integers(0, 40))
    damaged = text[:place] + data.draw(st.text(max_size=5)) + text[place + cut :]
    path = tmp_path / "model.xml"
    path.write_text(damaged, encoding="utf-8", errors="replace")

    with suppress(ModelError):
        facts = Artifact.open(path).facts()
        assert facts.inputs
        assert facts.outputs


@pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="the package openvino is not installed"
)
def test_what_openvino_saves_is_read_as_openvino_runs_it(tmp_path):
    import openvino

    from edgecv_cli.runtime.opening import open_runner

    source, saved = tmp_path / "model.onnx", tmp_path / "model.xml"
    model = models.ssd()
    model.metadata_props.add(key="task", value="detect")
    Path(source).write_bytes(model.SerializeToString())
    openvino.save_model(openvino.Core().read_model(source), saved, compress_to_fp16=False)

    artifact = Artifact.open(saved)
    runner = open_runner(artifact, "openvino", threads=1)

    assert runner.inputs == artifact.facts().inputs
    assert runner.outputs == artifact.facts().outputs
    assert artifact.metadata["task"] == "detect"
