"""Other engines' own parsers take what was quantized for them: TensorRT-RTX and OpenVINO.

TensorRT-RTX parses and builds without a GPU (packages tensorrt-rtx-cu12-libs and -bindings).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from models import ssd, yolov8, yolox
from target_plans import plan_for, seen, session

from edgecv_cli.compress.quantization.apply import apply_normalised
from edgecv_cli.compress.quantization.forms import float_plan, weight_only_plan
from edgecv_cli.compress.quantization.placement import distinct_placements
from edgecv_cli.compress.quantization.targets import resolve_target
from edgecv_cli.graph.io import load_model, serialize
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.topology import Topology

SHARED = Path(__file__).parents[3] / "shared" / "models"
BUILDERS = {"yolov8": yolov8, "yolox": yolox, "ssd": ssd}
DETECTORS = [
    "fastestdet_352", "nanodet_plus_m_416", "ssd_mobilenet_v1_300", "yolov6lite_s_320",
    "yolov8n_640", "yolox_nano_416",
]  # fmt: skip
REST = {"source": "", "input_size": None}


@pytest.fixture(scope="module")
def tensorrt():
    """Parse and build serialized ONNX; (layers by type, engine bytes or None, refusals)."""
    trt = pytest.importorskip(
        "tensorrt_rtx_bindings", reason="TensorRT-RTX is not installed: nothing is parsed"
    )
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)

    def build(data):
        flag = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        network = builder.create_network(flag)
        parser = trt.OnnxParser(network, logger)
        if not parser.parse(data):
            refused = [parser.get_error(place).desc() for place in range(parser.num_errors)]
            return Counter(), None, refused
        config = builder.create_builder_config()
        config.num_compute_capabilities = 1
        config.set_compute_capability(trt.ComputeCapability.SM89, 0)
        engine = builder.build_serialized_network(network, config)
        layers = (network.get_layer(place) for place in range(network.num_layers))
        kinds = Counter(layer.type.name for layer in layers)
        return kinds, None if engine is None else engine.nbytes, []

    return build


@pytest.fixture(scope="module")
def openvino():
    """Compile serialized ONNX on the CPU in float32; (infer, precision of each convolution)."""
    ov = pytest.importorskip("openvino", reason="OpenVINO is not installed: nothing is compiled")
    core = ov.Core()

    def compile_model(data):
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 2}
        compiled = core.compile_model(core.read_model(data), "CPU", settings)
        precisions: Counter[str] = Counter()
        for node in compiled.get_runtime_model().get_ordered_ops():
            facts = node.get_rt_info()
            if facts["layerType"].astype(str) == "Convolution":
                precisions[facts["runtimePrecision"].astype(str)] += 1
        return lambda image: list(compiled([image]).values()), precisions

    return compile_model


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def small(request):
    topology = Topology.of(normalise(BUILDERS[request.param](planted=True)))
    shape = [dim.dim_value for dim in topology.model.graph.input[0].type.tensor_type.shape.dim]
    noise = np.random.default_rng(1).random(shape, np.float32)
    images = [noise, *(picture(shape, color) for color in range(3))]
    return topology, seen(topology, images), images[1]


def picture(shape, color):
    """A rectangle of one class on black, in the range that the models are fed."""
    image = np.zeros(shape, np.float32)
    image[0, color, 8:32, 16:40] = 1.0
    return image


def real(name):
    if not SHARED.is_dir():
        pytest.skip("the real detectors of ../shared are absent")
    topology = Topology.of(normalise(load_model(SHARED / f"{name}.onnx")))
    shape = [dim.dim_value for dim in topology.model.graph.input[0].type.tensor_type.shape.dim]
    image = np.random.default_rng(0).random(shape, np.float32)
    return topology, seen(topology, [image])


def built(tensorrt, topology, observed, placement):
    """Build one placement; the number of Q layers is that of tensors on a grid."""
    plan = plan_for(topology, observed, resolve_target("tensorrt"), placement)
    kinds, size, refused = tensorrt(serialize(apply_normalised(topology, plan)))
    assert not refused
    assert size
    assert kinds["QUANTIZE"] == len(plan.grids)
    assert kinds["DEQUANTIZE"] >= len(plan.grids) + len(plan.layers)


def test_tensorrt_builds_every_placement(tensorrt, small):
    topology, observed, _ = small
    for placement in distinct_placements(topology, glue="residual"):
        built(tensorrt, topology, observed, placement)


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("name", DETECTORS)
def test_tensorrt_builds_every_placement_of_real_detectors(tensorrt, name):
    topology, observed = real(name)
    for placement in distinct_placements(topology, glue="residual"):
        built(tensorrt, topology, observed, placement)


def test_tensorrt_builds_float16_and_stored_integers(tensorrt, small):
    topology, _, _ = small
    rules = resolve_target("tensorrt")
    for plan in (
        float_plan("fp16", rules, **REST),
        weight_only_plan(topology, rules, bits=8, **REST),
    ):
        _, size, refused = tensorrt(serialize(apply_normalised(topology, plan)))
        assert not refused
        assert size


@pytest.mark.parametrize("name", ["cpu-x86", "cpu-arm"])
def test_tensorrt_refuses_what_was_made_for_processors(tensorrt, small, name):
    """Without this the rules of the target would be mere belief."""
    topology, observed, _ = small
    plan = plan_for(topology, observed, resolve_target(name))
    _, size, refused = tensorrt(serialize(apply_normalised(topology, plan)))
    assert refused
    assert size is None


@pytest.mark.parametrize("name", ["cpu-x86", "openvino", "generic"])
def test_openvino_and_onnx_runtime_agree(openvino, small, name):
    topology, observed, image = small
    rules = resolve_target(name)
    model = apply_normalised(topology, plan_for(topology, observed, rules))

    infer, precisions = openvino(serialize(model))

    integers = sum(layer.op == "Conv" for layer in topology.layers.values())
    assert precisions["u8"] + precisions["i8"] == integers
    for runner in (session(model), session(model, exact=True)):
        wanted = runner.run(None, {runner.get_inputs()[0].name: image})
        for ours, theirs in zip(wanted, infer(image), strict=True):
            far = np.abs(ours - theirs) > 0.05 * np.abs(ours).max()
            assert far.mean() < 0.02


def test_openvino_takes_eight_bit_weights_and_the_other_forms(openvino, small):
    topology, observed, image = small
    rules = resolve_target("cpu-x86-vnni")
    for plan in (
        plan_for(topology, observed, rules),
        float_plan("fp16", rules, **REST),
        weight_only_plan(topology, rules, bits=8, **REST),
        weight_only_plan(topology, rules, bits=4, **REST),
    ):
        infer, _ = openvino(serialize(apply_normalised(topology, plan)))
        assert all(np.isfinite(value).all() for value in infer(image))


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("name", ["fastestdet_352", "yolov8n_640"])  # the others take long
def test_real_detectors_run_every_convolution_of_a_plan_in_integers(openvino, name):
    topology, observed = real(name)
    for target in ("openvino", "cpu-x86"):
        plan = plan_for(topology, observed, resolve_target(target))
        _, precisions = openvino(serialize(apply_normalised(topology, plan)))
        integers = sum(topology.layers[layer].op == "Conv" for layer in plan.layers)
        assert precisions["u8"] + precisions["i8"] == integers
