"""Plans: written, read back, applied; the same bytes everywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from models import ssd, yolov8, yolox

from edgecv_cli.compress.quantization.apply import apply_normalised, apply_plan
from edgecv_cli.compress.quantization.grids import implied_clamps, make_grids, tensors_of
from edgecv_cli.compress.quantization.observe import observe
from edgecv_cli.compress.quantization.placement import distinct_placements, place
from edgecv_cli.compress.quantization.plan import QuantizePlan
from edgecv_cli.compress.quantization.propose import propose
from edgecv_cli.compress.quantization.recipe import Recipe
from edgecv_cli.compress.quantization.targets import TargetRules
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import ConfigError
from edgecv_cli.graph.io import content_digest, serialize
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.topology import Topology

ROOT = Path(__file__).parents[3]
BUILDERS = {"yolov8": yolov8, "yolox": yolox, "ssd": ssd}


def open_model(data):
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda feed: session.run(None, {name: feed})


def images(model, count=4):
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    rng = np.random.default_rng(1)
    return [rng.random(shape, np.float32) for _ in range(count)]


def observed(model, topology):
    tensors = tensors_of(topology, place(topology, "all").nodes)
    return observe(
        topology, images(model), tensors=tensors, open_model=open_model, context=Context()
    )


def planned(model, placement="all", *, sums=32, correction=True, estimator="mean-minmax"):
    topology = Topology.of(normalise(model))
    return topology, propose(
        topology,
        observed(model, topology),
        Recipe(placement, estimator, correction),
        TargetRules("cpu-x86-vnni", sums, here=True),
        source=content_digest(model),
        input_size=None,
    )


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def model(request):
    return BUILDERS[request.param](planted=True)


def test_a_plan_survives_being_written_and_read(model, tmp_path):
    _, plan = planned(model)
    path = tmp_path / "plan.json"
    path.write_text(plan.dumps())

    assert QuantizePlan.read(path) == plan


def test_every_placement_runs_and_stays_near_the_original(model):
    feed = images(model)[0]
    wanted = open_model(model.SerializeToString())(feed)
    for placement in distinct_placements(Topology.of(normalise(model))):
        topology, plan = planned(model, placement)
        quantized = apply_normalised(topology, plan)
        onnx.checker.check_model(quantized)
        outputs = open_model(serialize(quantized))(feed)
        for ours, original in zip(outputs, wanted, strict=True):
            assert ours.shape == original.shape
            span = original.max() - original.min()
            assert np.abs(ours - original).mean() < 0.05 * span


def test_outputs_and_metadata_keep_their_names(model):
    topology, plan = planned(model)
    quantized = apply_normalised(topology, plan)
    assert [v.name for v in quantized.graph.output] == [v.name for v in model.graph.output]
    assert [v.name for v in quantized.graph.input] == [v.name for v in model.graph.input]


def test_each_integer_layer_reads_and_writes_through_quantize_pairs(model):
    topology, plan = planned(model)
    quantized = apply_normalised(topology, plan)
    producers = {name: node for node in quantized.graph.node for name in node.output}
    readers = {}
    for node in quantized.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node.op_type)
    for name in plan.layers:
        node = producers.get(name) or next(
            entry for entry in quantized.graph.node if entry.name == topology.nodes[name].name
        )
        assert [producers[part].op_type for part in node.input] == ["DequantizeLinear"] * len(
            node.input
        )
        assert readers[node.output[0]] == ["QuantizeLinear"]


def stored_weights(topology, quantized, name):
    """The integers behind the DequantizeLinear that a layer takes its weights from."""
    label = topology.nodes[name].name
    layer = next(node for node in quantized.graph.node if node.name == label)
    restore = next(node for node in quantized.graph.node if node.output[0] == layer.input[1])
    return next(tensor for tensor in quantized.graph.initializer if tensor.name == restore.input[0])


def test_weights_are_eight_bits_in_the_file(model):
    topology, plan = planned(model)
    quantized = apply_normalised(topology, plan)
    for name in plan.layers:
        stored = stored_weights(topology, quantized, name)
        assert stored.data_type == onnx.TensorProto.INT8


def test_seven_bit_plans_of_older_versions_use_half_the_weight_range(model):
    topology, plan = planned(model)
    data = json.loads(plan.dumps()) | {"version": 2}
    for layer in data["layers"].values():
        layer["bits"] = 7
        del layer["sums"]
    quantized = apply_normalised(topology, QuantizePlan.model_validate(data))
    for name in plan.layers:
        integers = onnx.numpy_helper.to_array(stored_weights(topology, quantized, name))
        assert np.abs(integers.astype(int)).max() <= 63


def test_a_plan_of_another_model_is_refused(model):
    _, plan = planned(model)
    other = onnx.ModelProto()
    other.CopyFrom(model)
    weight = onnx.numpy_helper.to_array(other.graph.initializer[0]).copy()
    other.graph.initializer[0].CopyFrom(
        onnx.numpy_helper.from_array(weight + 1, other.graph.initializer[0].name)
    )
    with pytest.raises(ConfigError, match="another model"):
        apply_plan(other, plan)


def test_a_plan_that_names_what_is_not_there_is_refused(model):
    topology, plan = planned(model)
    broken = plan.model_copy(update={"nodes": (*plan.nodes, "nowhere")})
    with pytest.raises(ConfigError, match="nowhere"):
        apply_normalised(topology, broken)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"kind": "other"}', '{"version": 2}'], ids=repr)
def test_what_is_no_plan_is_refused_in_words(tmp_path, text):
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="not a quantize plan"):
        QuantizePlan.read(path)


def test_a_missing_plan_is_refused_in_words(tmp_path):
    with pytest.raises(ConfigError, match="can't be read"):
        QuantizePlan.read(tmp_path / "none.json")


APPLY = """
import hashlib, sys
from pathlib import Path
from edgecv_cli.compress.quantization.apply import apply_plan
from edgecv_cli.compress.quantization.plan import QuantizePlan
from edgecv_cli.graph.io import load_model, serialize
data = serialize(apply_plan(load_model(Path(sys.argv[1])), QuantizePlan.read(Path(sys.argv[2]))))
print(hashlib.sha256(data).hexdigest())
"""


def test_the_same_plan_gives_the_same_bytes_in_every_process(tmp_path):
    model = yolov8(planted=True)
    onnx.save(model, tmp_path / "model.onnx")
    _, plan = planned(model)
    (tmp_path / "plan.json").write_text(plan.dumps())
    digests = set()
    for seed, threads in (("0", "1"), ("1", "2"), ("2", "3"), ("3", "4"), ("random", "1")):
        environment = {
            **os.environ,
            "PYTHONHASHSEED": seed,
            "OMP_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
            "PYTHONPATH": str(ROOT),
        }
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                APPLY,
                str(tmp_path / "model.onnx"),
                str(tmp_path / "plan.json"),
            ],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout.strip())
    assert len(digests) == 1


def test_clamps_are_dropped_only_where_their_output_grid_implies_them():
    model = ssd(planted=True)
    topology, plan = planned(model)
    assert plan.dropped == implied_clamps(topology, plan.nodes)
    for name in plan.dropped:
        output = topology.nodes[name].output[0]
        assert plan.grids[output].zero_point == 0


@pytest.mark.parametrize("estimator", ["mean-minmax", "minmax", "percentile"])
def test_each_grid_holds_zero_and_its_range(estimator):
    model = yolov8(planted=True)
    topology = Topology.of(normalise(model))
    seen = observed(model, topology)
    nodes = place(topology, "all").nodes
    grids = make_grids(topology, nodes, seen, estimator=estimator, percentile=99.9)
    for name, grid in grids.items():
        assert grid.low <= 1e-9
        assert grid.high >= -1e-9
        producer = topology.producer.get(name)
        if producer is not None and topology.nodes[producer].op_type == "Sigmoid":
            assert grid.high == pytest.approx(1.0)
            assert grid.zero_point == 0


def test_wider_estimators_give_wider_grids():
    model = yolov8(planted=True)
    topology = Topology.of(normalise(model))
    seen = observed(model, topology)
    nodes = place(topology, "all").nodes
    widths = {}
    for estimator in ("minmax", "mean-minmax", "percentile"):
        grids = make_grids(topology, nodes, seen, estimator=estimator, percentile=99.0)
        widths[estimator] = sum(grid.scale for grid in grids.values())
    assert widths["minmax"] >= widths["mean-minmax"] >= widths["percentile"]


def test_tensors_that_are_only_moved_share_their_grid():
    model = yolox(planted=True)
    topology, plan = planned(model)
    moved = [name for name in plan.nodes if topology.nodes[name].op_type in ("MaxPool", "Resize")]
    for name in moved:
        node = topology.nodes[name]
        assert plan.grids[node.input[0]] == plan.grids[node.output[0]]
