"""Each rule that NVIDIA's own parser and builder can judge, held against them.

TensorRT-RTX parses and builds without a GPU (``pip install tensorrt-rtx``).
"""

import models
import models_tensorrt as trt
import numpy as np
import onnx
import pytest
from target_plans import plan_for, seen

from edgecv_cli.compress.quantization.apply import apply_normalised
from edgecv_cli.compress.quantization.float_forms import to_fp16
from edgecv_cli.compress.quantization.half_around import to_fp16_around
from edgecv_cli.compress.quantization.targets import resolve_target
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import UsageError
from edgecv_cli.graph.io import serialize
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.tensorrt.engine_weights import weights_inside
from edgecv_cli.graph.tensorrt.preflight import preflight
from edgecv_cli.graph.tensorrt.repair import repaired
from edgecv_cli.graph.tensorrt.target import target_of
from edgecv_cli.graph.topology import Topology
from edgecv_cli.runtime.tensorrt_rtx_build import build_engine
from edgecv_cli.runtime.tensorrt_rtx_service import TensorRtRtxService

RTX = target_of("rtx", None)
JUDGED = [case for case in trt.CASES if case.refused is not None]


@pytest.fixture(scope="module")
def service():
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX is not installed")
    return TensorRtRtxService()


@pytest.fixture
def build(service, tmp_path):
    """Build a model; the answer of the service."""

    def run(model):
        path = tmp_path / "model.onnx"
        path.write_bytes(serialize(model))
        asked = {"model": str(path), "engine": str(tmp_path / "e"), "capabilities": ["8.9"]}
        return service.call("build", asked)

    return run


def errors(model):
    return {one.rule for one in preflight(model, RTX) if one.level == "error"}


@pytest.mark.parametrize("case", JUDGED, ids=trt.named)
def test_a_rule_and_the_parser_agree(build, case):
    model = case.breaks()
    answer = build(model)
    assert bool(answer["refused"]) == case.refused, answer
    assert bool(errors(model)) == case.refused


@pytest.mark.parametrize("case", JUDGED, ids=trt.named)
def test_what_keeps_a_rule_is_built(build, case):
    answer = build(case.keeps())
    assert not answer["refused"]
    assert answer["size"] > 0


@pytest.mark.parametrize("case", [case for case in JUDGED if case.refused], ids=trt.named)
def test_what_is_repaired_is_built(build, case):
    fixed, mended = repaired(case.breaks(), RTX)
    answer = build(fixed)
    assert bool(answer["refused"]) == bool(errors(fixed)), answer
    if any(one.rule == case.rule for one in mended):
        assert not answer["refused"]


@pytest.mark.parametrize("make", [models.yolov8, models.yolox, models.ssd])
def test_detectors_quantized_for_processors_are_built_after_repair(build, make):
    topology = Topology.of(normalise(make(planted=True)))
    shape = [d.dim_value for d in topology.model.graph.input[0].type.tensor_type.shape.dim]
    noise = np.random.default_rng(1).random(shape, np.float32)
    plan = plan_for(topology, seen(topology, [noise]), resolve_target("cpu-x86"))
    model = apply_normalised(topology, plan)
    assert build(model)["refused"]

    fixed, _ = repaired(model, RTX)
    onnx.checker.check_model(fixed, full_check=True)
    answer = build(fixed)
    assert not answer["refused"]
    assert answer["layers"]["QUANTIZE"] == sum(
        node.op_type == "QuantizeLinear" for node in fixed.graph.node
    )


def test_weights_stand_in_engines_in_the_type_of_the_graph(service, tmp_path):
    topology = Topology.of(normalise(models.yolox(planted=True)))
    shape = [d.dim_value for d in topology.model.graph.input[0].type.tensor_type.shape.dim]
    noise = np.random.default_rng(1).random(shape, np.float32)
    plan = plan_for(topology, seen(topology, [noise]), resolve_target("tensorrt"))
    int8 = apply_normalised(topology, plan)
    forms = {"float32": topology.model, "float16": to_fp16(topology), "int8": int8}
    engines = {}
    for name, model in {**forms, "both": to_fp16_around(int8)}.items():
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(serialize(model))
        asked = {"model": str(path), "engine": str(tmp_path / name), "capabilities": ["8.9"]}
        assert not service.call("build", asked)["refused"]
        engines[name] = (tmp_path / name).read_bytes()
    for held, model in forms.items():
        assert weights_inside(model, engines[held]).layers.get(held, 0) > 0
        for other in forms.keys() - {held}:
            assert held not in weights_inside(model, engines[other]).layers
    assert weights_inside(int8, engines["both"]).layers.get("int8", 0) > 0


def test_an_engine_is_built_in_a_process_of_its_own(service, tmp_path):
    path, engine = tmp_path / "model.onnx", tmp_path / "model.engine"
    path.write_bytes(serialize(trt.layer()))
    built = build_engine(path, engine, ["8.6", "12.0"], Context())
    assert built.refusals == ()
    assert built.capabilities == ("8.6", "12.0")
    assert engine.stat().st_size == built.size > 0
    with pytest.raises(UsageError, match=r"no GPU of compute capability 8\.7"):
        build_engine(path, engine, ["8.7"], Context())
