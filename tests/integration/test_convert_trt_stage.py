"""convert-trt from file to file: checked, fixed, compared, built, or refused with nothing left."""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import models
import models_tensorrt as trt
import numpy as np
import onnx
import pytest
from command_line import edgecv
from scenes import scene, write_dataset
from target_plans import plan_for, seen

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.sidecar import read_sidecar
from edgecv_cli.cli.main import run
from edgecv_cli.compress.quantization.apply import apply_normalised
from edgecv_cli.compress.quantization.targets import resolve_target
from edgecv_cli.config.convert_trt import ConvertTrtConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import (
    GateNotMetError,
    MissingDependencyError,
    OutputExistsError,
    UsageError,
)
from edgecv_cli.core.require import cv2
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.tensorrt.pair_repairs import SPARED
from edgecv_cli.graph.topology import Topology
from edgecv_cli.runtime.tensorrt_rtx_build import Built, Refusal
from edgecv_cli.runtime.tensorrt_rtx_service import TensorRtRtxService
from edgecv_cli.stages import convert_trt as stage
from edgecv_cli.stages import convert_trt_source as source
from edgecv_cli.stages.quantize_result import HowMade, QuantizeResult, Side


@pytest.fixture(scope="module")
def stock(tmp_path_factory):
    """A planted detector, its uint8 form, and pictures with what it finds."""
    folder = tmp_path_factory.mktemp("trt")
    float_model = models.yolov8(planted=True)
    onnx.save(float_model, folder / "float.onnx")
    topology = Topology.of(normalise(float_model))
    shape = [d.dim_value for d in topology.model.graph.input[0].type.tensor_type.shape.dim]
    (folder / "images").mkdir()
    fed = []
    for seed in range(4):
        image = scene(seed=seed)[0]
        cv2().imwrite(str(folder / "images" / f"{seed}.png"), image)
        resized = cv2().resize(image, (shape[3], shape[2]))[..., ::-1] / 255
        fed.append(resized.transpose(2, 0, 1)[None].astype(np.float32))
    plan = plan_for(topology, seen(topology, fed), resolve_target("cpu-x86"), "last")
    onnx.save(apply_normalised(topology, plan), folder / "int8.onnx")
    onnx.save(models.yolov8(dynamic="size"), folder / "open.onnx")
    onnx.save(onnx.shape_inference.infer_shapes(trt.topk(5000)), folder / "topk.onnx")
    write_dataset(folder / "data", 4)
    return folder


def convert(stock, name, **options):
    made = ConvertTrtConfig.from_options(model=str(stock / name), **options)
    return stage.convert_trt(made, Context())


@pytest.fixture
def builder(monkeypatch):
    """A builder that keeps the contract; what it was asked, and what it shall refuse."""
    asked = SimpleNamespace(calls=[], refusals=())

    def build(model, engine, capabilities, _context):
        asked.calls.append((model.name, tuple(capabilities)))
        if not asked.refusals:
            engine.write_bytes(b"engine")
        return Built("1.7", ("8.9",), asked.refusals, 6, {"CONVOLUTION": 3})

    monkeypatch.setattr(stage, "build_engine", build)
    monkeypatch.setattr(stage, "require_builder", lambda: None)
    return asked


def test_a_sound_model_is_checked_and_nothing_is_written(stock, tmp_path):
    result = convert(stock, "float.onnx", check_only=True)
    assert result.preflight == ()
    assert result.runtime == "TensorRT-RTX 1.7"
    assert result.to_json()["saved"] is None
    assert not list(tmp_path.iterdir())


def test_findings_of_level_error_are_exit_3_with_the_whole_result(stock):
    with pytest.raises(GateNotMetError, match="would refuse") as refused:
        convert(stock, "int8.onnx", check_only=True, trt_version="10.3")
    rules = {one.rule for one in refused.value.result.preflight}
    assert {"uint8", "integer-bias"} <= rules
    assert refused.value.result.command.startswith("trtexec --onnx=model.onnx")


def test_a_fixed_model_is_compared_and_keeps_spec_and_lineage(stock, tmp_path):
    out = tmp_path / "fixed.onnx"
    result = convert(stock, "int8.onnx", fix=True, output=str(out), images=str(stock / "images"))
    assert result.checked.images == 4
    assert result.checked.agreement >= 0.9
    assert not result.errors()
    assert {one.rule for one in result.found} >= {"uint8", "integer-bias"}
    assert result.verified == "structure"
    saved = Artifact.open(out)
    assert saved.metadata["edgecv.target"] == "tensorrt"
    assert [step.stage for step in saved.lineage] == ["convert-trt"]
    assert saved.detector().spec == Artifact.open(stock / "int8.onnx").detector().spec
    assert read_sidecar(out, saved.sha256)["fixed"]


def test_labelled_images_gate_by_accuracy(stock, tmp_path):
    options = {"fix": True, "output": str(tmp_path / "f.onnx"), "data": str(stock / "data")}
    result = convert(stock, "int8.onnx", **options, max_drop="50%")
    assert result.checked.map_original > 0.3
    assert result.checked.drop is not None
    assert "max_drop" in result.gates


REFUSED = stage.Checked(None, {"min_agreement": "at least 0.9: 0.1"}, ("min_agreement",))


def judged(monkeypatch, *verdicts):
    """Have fixed models judged so, one after the other; returns how many pairs each of them has."""
    pairs, left = [], list(verdicts)

    def judge(_original, path, *_):
        pairs.append([one.op_type for one in onnx.load(path).graph.node].count("QuantizeLinear"))
        return left.pop(0)

    monkeypatch.setattr(stage, "held_against", judge)
    return pairs


def test_a_fixed_model_that_is_worse_is_refused(stock, tmp_path, monkeypatch):
    pairs = judged(monkeypatch, REFUSED, REFUSED)
    out = tmp_path / "fixed.onnx"
    with pytest.raises(GateNotMetError, match=r"worse than the original: min_agreement") as refused:
        convert(stock, "int8.onnx", fix=True, output=str(out), images=str(stock / "images"))
    assert len(pairs) == 2
    assert refused.value.exit_code == 3
    assert refused.value.result.saved is None
    assert not list(tmp_path.iterdir())


def test_layers_are_given_back_to_float_where_int8_throughout_is_refused(
    stock, tmp_path, monkeypatch
):
    pairs = judged(monkeypatch, REFUSED, stage.Checked(None, {"min_agreement": "at least 0.9: 1"}))
    out = tmp_path / "fixed.onnx"
    result = convert(stock, "int8.onnx", fix=True, output=str(out), images=str(stock / "images"))
    assert 0 < pairs[1] < pairs[0]
    assert sum(one.did == SPARED for one in result.fixed) >= pairs[0] - pairs[1]
    (note,) = result.notes
    assert "compute in float: min_agreement at least 0.9: 0.1" in note
    assert result.gates == {"min_agreement": "at least 0.9: 1"}
    assert not result.errors()
    kept = [one.op_type for one in onnx.load(out).graph.node].count("QuantizeLinear")
    assert kept == pairs[1]


def test_numbers_are_not_changed_without_a_look(stock, tmp_path):
    with pytest.raises(UsageError, match="nothing to check that on") as refused:
        convert(stock, "int8.onnx", fix=True, output=str(tmp_path / "fixed.onnx"))
    assert "--images" in refused.value.remedy
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_fixed_is_named_with_its_remedy(stock, tmp_path):
    with pytest.raises(GateNotMetError, match="TopK wants 5000") as refused:
        convert(stock, "topk.onnx", fix=True, output=str(tmp_path / "fixed.onnx"))
    (finding,) = refused.value.result.errors()
    assert (finding.rule, finding.node) == ("attribute", "top")
    assert not list(tmp_path.iterdir())


def test_an_open_size_is_fixed_where_it_is_told(stock, tmp_path):
    with pytest.raises(GateNotMetError, match="open"):
        convert(stock, "open.onnx", check_only=True)
    out = tmp_path / "fixed.onnx"
    result = convert(stock, "open.onnx", fix=True, output=str(out), input_size="64x64")
    assert [one.rule for one in result.fixed] == ["static-shape"]
    assert Artifact.open(out).facts().input_size == (64, 64)
    assert "was not run" in result.notes[0]


def test_fp16_is_cast_in_the_graph_where_the_graph_alone_decides(stock, tmp_path):
    out = tmp_path / "half.onnx"
    options = {"fix": True, "images": str(stock / "images"), "precision": "fp16"}
    result = convert(stock, "float.onnx", output=str(out), **options)
    assert not result.errors()
    assert any(t.data_type == onnx.TensorProto.FLOAT16 for t in onnx.load(out).graph.initializer)


@pytest.mark.parametrize("target", [{}, {"trt_version": "10.3"}])
def test_fp16_stands_around_int8_without_casts_inside_of_a_pair(stock, tmp_path, target):
    out = tmp_path / "both.onnx"
    options = {"fix": True, "images": str(stock / "images"), "precision": "fp16", **target}
    result = convert(stock, "int8.onnx", output=str(out), **options)
    assert not result.errors()
    assert "float16 around int8" in result.fixed[-1].did
    assert result.checked.agreement >= 0.9
    graph = onnx.shape_inference.infer_shapes(onnx.load(out)).graph
    scales = {one.name: one.data_type for one in graph.initializer}
    pairs = [one for one in graph.node if one.op_type.endswith("eLinear")]
    half = [one for one in pairs if scales[one.input[1]] == onnx.TensorProto.FLOAT16]
    assert len(half) > len(pairs) * 0.9
    restored = {name for one in half for name in one.output if one.op_type[0] == "D"}
    casts = {
        one.output[0] for one in graph.node if one.op_type == "Cast" and one.input[0] in restored
    }
    assert not [one for one in graph.node if one.op_type == "Conv" and casts & set(one.input)]


def test_fp16_beside_int8_is_a_finding_that_fix_answers(stock):
    with pytest.raises(GateNotMetError) as refused:
        convert(stock, "float.onnx", check_only=True, precision="fp16")
    assert "--fix" in refused.value.remedy


def test_a_float_model_is_quantized_on_the_way(stock, tmp_path, builder):
    out = tmp_path / "engine"
    asked = {"precision": "int8", "calibration": str(stock / "images"), "min_agreement": "0.3"}
    result = convert(stock, "float.onnx", output=str(out), **asked)
    assert builder.calls == [("model.onnx", ())]
    assert not result.errors()
    assert result.quantized.target == "tensorrt"
    assert result.quantized.saved is None
    saved = Artifact.open(out / "model.onnx")
    assert [step.stage for step in saved.lineage] == ["quantize", "convert-trt"]
    assert any(node.op_type == "QuantizeLinear" for node in saved.model.graph.node)
    assert result.model_sha256 == Artifact.open(stock / "float.onnx").sha256
    beside = read_sidecar(out / "model.engine", result.engine.sha256)
    assert (beside["model"], beside["saved"]) == ("float.onnx", "model.onnx")


def test_an_int8_form_that_meets_no_gate_is_not_built(stock, tmp_path, builder, monkeypatch):
    how = HowMade(engine="onnxruntime", threads=1, seed=0)
    kept = {
        "model": "m",
        "target": "tensorrt",
        "precision": "int8",
        "gates": {"min_agreement": "0"},
    }
    kept |= {"baseline": Side(size_bytes=1), "how": how, "schema": "edgecv.quantize/1"}
    result = QuantizeResult(**kept)

    def refuse(*_, **__):
        raise GateNotMetError("none of 1 candidates", remedy="more images", result=result)

    monkeypatch.setattr(source, "make_int8", refuse)
    asked = {"precision": "int8", "calibration": str(stock / "images")}
    with pytest.raises(GateNotMetError, match="none of 1") as refused:
        convert(stock, "float.onnx", output=str(tmp_path / "engine"), **asked)
    said = refused.value.result
    assert (said.quantized, said.gates, said.saved) == (result, result.gates, None)
    assert "nothing was converted" in said.notes[0]
    assert not builder.calls
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "calibrated", "words", "remedy"),
    [("float.onnx", False, "needs images to calibrate on", "--calibration DIR"),
     ("int8.onnx", True, "quantized already", "leave --calibration out")],
)  # fmt: skip
def test_int8_takes_calibration_exactly_where_it_is_of_use(
    stock, tmp_path, name, calibrated, words, remedy
):
    asked = {"calibration": str(stock / "images")} if calibrated else {}
    with pytest.raises(UsageError, match=words) as refused:
        convert(stock, name, output=str(tmp_path / "o.onnx"), precision="int8", **asked)
    assert remedy in refused.value.remedy
    assert not list(tmp_path.iterdir())


def test_an_engine_is_saved_beside_its_model_with_its_spec(stock, tmp_path, builder):
    out = tmp_path / "engine"
    result = convert(stock, "float.onnx", output=str(out), compute_capability="8.9")
    assert builder.calls == [("model.onnx", ("8.9",))]
    assert sorted(path.name for path in out.iterdir()) == [
        *("model.engine", "model.engine.edgecv.json", "model.onnx", "model.onnx.edgecv.json")
    ]
    assert result.verified == "built"
    beside = read_sidecar(out / "model.engine", result.engine.sha256)
    assert beside["provenance"][-1]["stage"] == "convert-trt"
    assert beside["spec"]


def test_what_the_parser_refuses_is_a_finding_and_nothing_is_saved(stock, tmp_path, builder):
    builder.refusals = (Refusal("conv_3", "no such thing"),)
    with pytest.raises(GateNotMetError, match="no such thing") as refused:
        convert(stock, "float.onnx", output=str(tmp_path / "engine"))
    assert refused.value.result.preflight[0].rule == "parser"
    assert not list(tmp_path.iterdir())


def test_less_than_was_required_is_refused(stock, tmp_path, builder):
    with pytest.raises(GateNotMetError, match="verified here: built; asked for: ran"):
        convert(stock, "float.onnx", output=str(tmp_path / "engine"), require="ran")
    assert not list(tmp_path.iterdir())


def test_classic_tensorrt_gets_the_model_the_command_and_a_bundle(stock, tmp_path):
    out = tmp_path / "orin"
    result = convert(stock, "float.onnx", output=str(out), device="jetson-orin")
    assert result.engine is None
    assert sorted(path.name for path in out.iterdir()) == [
        *("bundle", "model.onnx", "model.onnx.edgecv.json")
    ]
    assert "trtexec" in result.command


def test_an_output_that_stands_is_not_replaced(stock, tmp_path):
    out = tmp_path / "there.onnx"
    out.write_bytes(b"mine")
    with pytest.raises(OutputExistsError):
        convert(stock, "float.onnx", output=str(out))
    assert out.read_bytes() == b"mine"


def test_a_missing_library_is_named_with_its_pip_line(stock, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt_rtx_bindings", None)
    for use in (TensorRtRtxService, lambda: convert(stock, "float.onnx", output=tmp_path / "e")):
        with pytest.raises(MissingDependencyError) as refused:
            use()
        assert refused.value.remedy == "pip install tensorrt-rtx"
    assert not list(tmp_path.iterdir())


def test_the_command_prints_findings_and_exits_with_3(stock, capfd):
    assert run(["convert-trt", str(stock / "int8.onnx"), "--check-only", "--quiet"]) == 3
    shown = capfd.readouterr()
    assert "error: integer-bias" in shown.out
    assert "remedy: add --fix" in shown.out
    assert "Traceback" not in shown.err


def test_json_holds_what_scripts_use(stock):
    done = edgecv("convert-trt", stock / "int8.onnx", "--check-only", "--json", "--quiet")
    printed = json.loads(done.stdout)
    assert done.returncode == 3
    assert printed["saved"] is None
    assert set(printed["preflight"][0]) == {"rule", "level", "node", "message", "remedy"}


class _Library(ModuleType):
    """What TensorRtRtxService uses of TensorRT-RTX, kept to its contract."""

    __version__ = "9.9"
    refuses = False
    fails = False

    class ILogger:
        ERROR = 1

    class ComputeCapability:
        SM89, SM120 = "89", "120"
        __members__ = {"NONE": 0, "SM89": "89", "SM120": "120"}  # noqa: RUF012

    class NetworkDefinitionCreationFlag:
        STRONGLY_TYPED = 1

    class Builder:
        def __init__(self, logger):
            self.logger = logger

        def create_network(self, flag):
            assert flag == 2
            layer = SimpleNamespace(type=SimpleNamespace(name="CONVOLUTION"))
            return SimpleNamespace(num_layers=2, get_layer=lambda _: layer)

        def create_builder_config(self):
            return SimpleNamespace(
                num_compute_capabilities=0,
                set_compute_capability=lambda *_: None,
            )

        def build_serialized_network(self, _network, _config):
            if _Library.fails:
                self.logger.log(1, "no kernel")
                self.logger.log(1, "another")
                return None
            return memoryview(b"bytes")

    class OnnxParser:
        num_errors = 1

        def __init__(self, *_):
            pass

        def parse(self, _data):
            return not _Library.refuses

        def get_error(self, _index):
            return SimpleNamespace(
                desc=lambda: "Invalid Node - d\nAssertion failed: it is bad In checkType at /x",
                node_name=lambda: "",
                node_operator=lambda: "Conv",
            )


@pytest.fixture
def service(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt_rtx_bindings", _Library("tensorrt_rtx_bindings"))
    monkeypatch.setattr(_Library, "refuses", False)
    monkeypatch.setattr(_Library, "fails", False)
    return TensorRtRtxService()


def test_the_service_builds_and_says_what_was_refused(service, stock, tmp_path, monkeypatch):
    asked = {
        "model": str(stock / "float.onnx"),
        "engine": str(tmp_path / "e"),
        "capabilities": ["8.9", "12.0"],
    }
    assert service.call("version", {})["capabilities"] == ["8.9", "12.0"]
    built = service.call("build", asked)
    assert (built["size"], built["layers"]) == (5, {"CONVOLUTION": 2})
    assert Path(asked["engine"]).read_bytes() == b"bytes"
    monkeypatch.setattr(_Library, "fails", True)
    assert service.call("build", asked)["refused"] == [{"node": "", "problem": "no kernel"}]
    monkeypatch.setattr(_Library, "refuses", True)
    assert service.call("build", asked)["refused"] == [{"node": "Conv", "problem": "it is bad"}]
