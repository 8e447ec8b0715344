"""What each target asks, where it can be measured, and what its files look like."""

from __future__ import annotations

import platform

import numpy as np
import onnx
import pytest
from models import ssd, yolov8, yolox
from onnx import TensorProto, helper, numpy_helper
from target_plans import plan_for, seen, session

from edgecv_cli.compress.quantization import targets
from edgecv_cli.compress.quantization.apply import apply_normalised
from edgecv_cli.compress.quantization.placement import place
from edgecv_cli.compress.quantization.targets import resolve_target
from edgecv_cli.core.errors import UsageError
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.topology import Topology

NAMES = ["cpu-x86-vnni", "cpu-x86", "cpu-arm", "tensorrt", "openvino", "generic"]
BUILDERS = {"yolov8": yolov8, "yolox": yolox, "ssd": ssd}


@pytest.fixture
def here(monkeypatch):
    """Have the rules see a machine of this architecture, with or without VNNI."""

    def pretend(architecture, *, vnni=False, engines=("onnxruntime", "openvino")):
        monkeypatch.setattr(platform, "machine", lambda: architecture)
        monkeypatch.setattr(targets, "has_vnni", lambda: vnni)
        monkeypatch.setattr(targets, "engine_versions", lambda: dict.fromkeys(engines, "1"))
        monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)

    return pretend


@pytest.mark.parametrize(
    ("architecture", "vnni", "name"),
    [
        ("x86_64", True, "cpu-x86-vnni"),
        ("AMD64", False, "cpu-x86"),
        ("aarch64", False, "cpu-arm"),
        ("arm64", False, "cpu-arm"),
    ],
)
def test_cpu_is_what_this_machine_is(here, architecture, vnni, name):
    here(architecture, vnni=vnni)
    rules = resolve_target("cpu")
    assert rules.name == name
    assert rules.here


def test_cpu_of_an_unknown_kind_names_what_runs_anywhere(here):
    here("riscv64")
    with pytest.raises(UsageError, match="riscv64") as caught:
        resolve_target("cpu")
    assert "generic" in caught.value.remedy


def test_an_unknown_target_names_the_known_ones():
    with pytest.raises(UsageError) as caught:
        resolve_target("edge-tpu")
    assert all(name in caught.value.remedy for name in NAMES)


def test_speed_is_measured_only_where_processor_and_engine_are(here):
    here("x86_64", vnni=True, engines=("onnxruntime",))
    measured = [name for name in NAMES if resolve_target(name).here]
    assert measured == ["cpu-x86-vnni", "generic"]
    here("x86_64", vnni=False)
    assert [name for name in NAMES if resolve_target(name).here] == [
        "cpu-x86", "openvino", "generic",
    ]  # fmt: skip


def test_which_targets_are_taken_to_add_in_sixteen_bits(here, monkeypatch):
    here("x86_64", vnni=False)
    narrow = [name for name in NAMES if resolve_target(name).sums == 16]
    assert narrow == ["cpu-x86", "openvino", "generic"]
    here("x86_64", vnni=True)
    assert resolve_target("openvino").sums == 32
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "avx2")
    assert resolve_target("openvino").sums == 16
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2_VNNI")
    assert resolve_target("openvino").sums == 32


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def observed(request):
    topology = Topology.of(normalise(BUILDERS[request.param](planted=True)))
    shape = [dim.dim_value for dim in topology.model.graph.input[0].type.tensor_type.shape.dim]
    rng = np.random.default_rng(1)
    images = [rng.random(shape, np.float32) for _ in range(2)]
    return topology, seen(topology, images), images[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_holds_what_its_target_takes(observed, name):
    topology, observations, image = observed
    rules = resolve_target(name)

    model = apply_normalised(topology, plan_for(topology, observations, rules))

    onnx.checker.check_model(model, full_check=True)
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    pairs = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    kinds = {held[node.input[2]].dtype for node in pairs}
    assert kinds == {np.dtype(np.int8 if rules.signed else np.uint8)}
    restored = [node for node in model.graph.node if node.op_type == "DequantizeLinear"]
    points = {node.input[2] for node in [*pairs, *restored]}
    wide = [node for node in restored if held[node.input[1]].ndim]
    assert all("axis" in [a.name for a in node.attribute] for node in wide)
    assert any(held[point].any() for point in points) != rules.symmetric
    types = {held[node.input[0]].dtype for node in wide}
    assert (np.dtype(np.int32) in types) == (rules.bias == "int32")
    weights = [held[node.input[0]] for node in wide if held[node.input[0]].dtype == np.int8]
    assert max(int(np.abs(weight.astype(int)).max()) for weight in weights) == 127
    mixing = [weight.astype(int) for weight in weights if weight.shape[1] > 1]
    orders = [np.moveaxis(weight, 1, -1).reshape(len(weight), -1) for weight in mixing]
    together = max(int((order[:, :-1] + order[:, 1:]).max()) for order in orders)
    assert (together <= 128) == (rules.sums == 16)
    runner = session(model, exact=True)
    found = runner.run(None, {runner.get_inputs()[0].name: image})
    assert all(np.isfinite(value).all() for value in found)


@pytest.mark.parametrize("name", ["tensorrt", "openvino"])
@pytest.mark.parametrize("placement", ["all", "last2-depthwise-float"])
def test_only_layer_inputs_are_on_a_grid_where_that_is_asked(observed, name, placement):
    topology, observations, _ = observed
    rules = resolve_target(name)
    nodes = place(topology, placement, glue=rules.glue).nodes
    if not nodes:
        pytest.skip("this placement leaves nothing in integers")
    model = apply_normalised(topology, plan_for(topology, observations, rules, placement))

    restored = {n.output[0] for n in model.graph.node if n.op_type == "DequantizeLinear"}
    readers = {n.op_type for n in model.graph.node if set(n.input) & restored}
    assert not readers & {"Sigmoid", "HardSigmoid", "Mul", "Relu", "LeakyRelu", "Clip", "MaxPool"}
    layers = {topology.nodes[name].name for name in nodes if name in topology.layers}
    fed = {n.name for n in model.graph.node if n.input and n.input[0] in restored}
    assert layers <= fed


def residual():
    """x -> conv a -> relu r; r -> conv b; b + r -> relu s -> conv c; a head as the tail."""
    rng = np.random.default_rng(0)

    def conv(data, weight, output):
        return helper.make_node("Conv", [data, weight], [output])

    nodes = [
        conv("x", "w0", "a"),
        helper.make_node("Relu", ["a"], ["r"]),
        conv("r", "w1", "b"),
        helper.make_node("Add", ["r", "b"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["s"]),
        conv("s", "w2", "c"),
        helper.make_node("Concat", ["c", "s"], ["joined"], axis=1),
        conv("joined", "w3", "d"),
        helper.make_node("Sigmoid", ["d"], ["y"]),
    ]
    sizes = {"w0": (4, 3), "w1": (4, 4), "w2": (4, 4), "w3": (2, 8)}
    tensors = [
        numpy_helper.from_array(rng.normal(size=(*size, 1, 1)).astype(np.float32), name)
        for name, size in sizes.items()
    ]
    graph = helper.make_graph(
        nodes, "residual",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 8, 8])],
        tensors,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return Topology.of(normalise(model))


def test_the_skip_of_an_add_is_quantized_and_what_the_layer_adds_is_not():
    topology = residual()
    image = np.random.default_rng(1).random((1, 3, 8, 8), np.float32)
    rules = resolve_target("tensorrt")

    plan = plan_for(topology, seen(topology, [image]), rules)
    model = apply_normalised(topology, plan)

    assert "sum" in plan.nodes
    assert "b" not in plan.grids
    add = next(node for node in model.graph.node if node.op_type == "Add")
    makers = {out: node.op_type for node in model.graph.node for out in node.output}
    assert sorted(makers[name] for name in add.input) == ["Conv", "DequantizeLinear"]


def test_openvino_leaves_adds_alone():
    topology = residual()
    assert "sum" not in place(topology, "all", glue="inputs").nodes


def test_concatenated_tensors_share_a_grid_where_their_ranges_are_alike():
    topology = residual()
    image = np.random.default_rng(1).random((1, 3, 8, 8), np.float32)
    observations = seen(topology, [image])
    stats = observations.tensors["s"]
    alike = {**observations.tensors, "joined": stats}
    unlike = {**observations.tensors, "joined": observations.tensors["x"]}
    wide = type(stats)(-100.0, 100.0, -100.0, 100.0, stats.histogram)

    def grids(tensors):
        held = type(observations)(1, tensors, {})
        return plan_for(topology, held, resolve_target("tensorrt")).grids

    assert grids(alike)["s"] == grids(alike)["joined"]
    assert grids({**unlike, "joined": wide})["s"] != grids({**unlike, "joined": wide})["joined"]
