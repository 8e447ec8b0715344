"""Streaming statistics against the activations themselves."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import ssd, yolov8, yolox
from onnx import helper, numpy_helper

from edgecv_cli.compress.quantization.grids import tensors_of
from edgecv_cli.compress.quantization.observe import Counter, Observations, observe
from edgecv_cli.compress.quantization.placement import place
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import DataError, InterruptedByUser, ModelError
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.topology import Topology


def open_model(data):
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda feed: session.run(None, {name: feed})


def feeds(count, size=(64, 64), seed=0):
    rng = np.random.default_rng(seed)
    return [rng.random((1, 3, *size), np.float32) for _ in range(count)]


@pytest.fixture(scope="module")
def topology():
    return Topology.of(normalise(yolov8(nc=2)))


def activations(topology, names, feed):
    model = onnx.ModelProto()
    model.CopyFrom(topology.model)
    del model.graph.output[:]
    for name in names:
        model.graph.output.append(
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        )
    return open_model(model.SerializeToString())(feed)


def watched(topology):
    inputs = {value.name for value in topology.model.graph.input}
    nodes = place(topology, "all").nodes
    return [name for name in tensors_of(topology, nodes) if name not in inputs]


def test_bounds_and_means_are_those_of_the_activations(topology):
    names = watched(topology)
    images = feeds(5)

    seen = observe(topology, images, tensors=names, open_model=open_model, context=Context())

    values = [activations(topology, names, feed) for feed in images]
    for index, name in enumerate(names):
        lows = [float(image[index].min()) for image in values]
        highs = [float(image[index].max()) for image in values]
        stats = seen.tensors[name]
        assert stats.low == pytest.approx(min(lows), abs=1e-5)
        assert stats.high == pytest.approx(max(highs), abs=1e-5)
        assert stats.mean_low == pytest.approx(np.mean(lows), abs=1e-5)
        assert stats.mean_high == pytest.approx(np.mean(highs), abs=1e-5)
    assert seen.images == 5


def test_channel_means_are_those_of_the_layers_inputs(topology):
    names = watched(topology)
    images = feeds(3)
    seen = observe(topology, images, tensors=names, open_model=open_model, context=Context())
    checked = 0
    for name, means in seen.channel_means.items():
        values = [activations(topology, [name], feed)[0] for feed in images]
        wanted = np.mean([value.mean(axis=(0, 2, 3)) for value in values], axis=0)
        np.testing.assert_allclose(means, wanted, atol=1e-4)
        checked += 1
    assert checked > 3


def test_an_empty_feed_is_an_error_with_a_remedy(topology):
    with pytest.raises(DataError, match="no calibration image"):
        observe(topology, [], tensors=watched(topology), open_model=open_model, context=Context())


def test_an_activation_that_is_no_number_is_named(topology):
    bad = np.full((1, 3, 64, 64), np.nan, np.float32)
    with pytest.raises(ModelError, match="not a finite number"):
        observe(
            topology, [bad], tensors=watched(topology), open_model=open_model, context=Context()
        )


def test_cancelling_stops_at_the_next_image(topology):
    context = Context()

    def cancelled():
        yield feeds(1)[0]
        context.cancel.set()
        yield feeds(1)[0]
        pytest.fail("went on after Ctrl-C")

    with pytest.raises(InterruptedByUser):
        observe(
            topology,
            cancelled(),
            tensors=watched(topology),
            open_model=open_model,
            context=context,
        )


@given(
    seed=st.integers(0, 2**31),
    scales=st.lists(st.floats(1e-3, 1e4), min_size=1, max_size=6),
    fraction=st.floats(0.01, 0.99),
)
def test_the_histograms_quantile_is_within_two_bins_of_the_exact_one(seed, scales, fraction):
    rng = np.random.default_rng(seed)
    parts = [rng.normal(0, scale, 500).astype(np.float32) for scale in scales]
    histogram = Counter()
    for part in parts:
        histogram.add(part)

    whole = np.concatenate(parts)
    exact = np.quantile(whole, [max(0, fraction - 0.005), min(1, fraction + 0.005)])
    width = 8 * (whole.max() - whole.min()) / 2048
    assert exact[0] - width <= histogram.histogram().quantile(fraction) <= exact[1] + width


def test_a_histogram_of_one_value_knows_it():
    histogram = Counter()
    histogram.add(np.zeros(10, np.float32))
    histogram.add(np.zeros(10, np.float32))

    assert histogram.histogram().quantile(0.5) == pytest.approx(0, abs=1e-6)


BUILDERS = {"yolov8": yolov8, "yolox": yolox, "ssd": ssd}


@pytest.mark.parametrize("family", sorted(BUILDERS))
def test_what_is_seen_of_every_tensor_holds_its_activations(family):
    topology = Topology.of(normalise(BUILDERS[family](planted=True)))
    shape = topology.shapes[topology.model.graph.input[0].name]
    images = feeds(3, size=shape[2:])
    names = watched(topology)
    clamped = {
        topology.nodes[reader].input[0]
        for name in names
        for reader in topology.consumers.get(name, [])
        if topology.nodes[reader].op_type in ("Relu", "Clip")
    }

    seen = observe(topology, images, tensors=names, open_model=open_model, context=Context())

    values = [activations(topology, names, feed) for feed in images]
    for index, name in enumerate(names):
        if name in clamped:
            continue
        stats = seen.tensors[name]
        lows = [float(image[index].min()) for image in values]
        highs = [float(image[index].max()) for image in values]
        spread = max(max(highs) - min(lows), 1e-3)
        assert stats.high == pytest.approx(max(highs), abs=1e-3 * spread)
        assert stats.mean_high == pytest.approx(np.mean(highs), abs=1e-3 * spread)
        assert stats.low <= min(lows) + 1e-3 * spread
        assert stats.low >= min(0.0, *lows) - 0.05 * spread


def acted(nodes, **stored):
    """Return the topology of conv -> nodes -> conv, reading "c" and making "y"."""
    rng = np.random.default_rng(3)
    weights = {
        "w1": rng.normal(0, 2, (8, 3, 3, 3)).astype(np.float32),
        "w2": rng.normal(0, 1, (4, 8, 1, 1)).astype(np.float32),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w1"], ["c"]),
            *nodes,
            helper.make_node("Conv", ["y", "w2"], ["z"]),
        ],
        "acted",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, (1, 3, 34, 34))],
        [helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, (1, 4, 32, 32))],
        [numpy_helper.from_array(part, name) for name, part in {**weights, **stored}.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    return Topology.of(normalise(helper.make_model(graph, opset_imports=opset, ir_version=8)))


ACTIVATIONS = {
    "leaky": [helper.make_node("LeakyRelu", ["c"], ["y"], alpha=0.1)],
    "silu": [
        helper.make_node("Sigmoid", ["c"], ["s"]),
        helper.make_node("Mul", ["c", "s"], ["y"]),
    ],
    "hard-swish": [
        helper.make_node("HardSigmoid", ["c"], ["s"], alpha=1 / 6, beta=0.5),
        helper.make_node("Mul", ["c", "s"], ["y"]),
    ],
    "halves": [
        helper.make_node("Split", ["c"], ["a", "b"], axis=1),
        helper.make_node("Sigmoid", ["b"], ["s"]),
        helper.make_node("Concat", ["s", "a"], ["y"], axis=1),
    ],
}


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_tensors_that_follow_from_others_have_the_ranges_of_their_own(name):
    topology = acted(ACTIVATIONS[name])
    tensors = [tensor for tensor in ("c", "a", "b", "s", "y") if tensor in topology.producer]
    images = feeds(3, size=(34, 34))

    seen = observe(topology, images, tensors=tensors, open_model=open_model, context=Context())

    values = [activations(topology, tensors, feed) for feed in images]
    for index, tensor in enumerate(tensors):
        whole = np.stack([image[index] for image in values])
        stats = seen.tensors[tensor]
        low = max(float(whole.min()), -3.0) if name == "hard-swish" else float(whole.min())
        spread = float(np.ptp(whole))
        assert stats.high == pytest.approx(float(whole.max()), abs=1e-4 * spread)
        assert stats.low == pytest.approx(low, abs=0.01 * spread)
        # Which branch of a hard-swish a value came from is not known: below zero both are counted.
        for fraction in (0.9,) if name == "hard-swish" else (0.6, 0.9):
            exact = np.quantile(whole, [fraction - 0.04, fraction + 0.04])
            assert exact[0] - 0.01 * spread <= stats.quantile(fraction) <= exact[1] + 0.01 * spread
        if tensor in seen.channel_highs:
            highs = whole.max(axis=(-2, -1)).mean(axis=0).ravel()
            np.testing.assert_allclose(seen.channel_highs[tensor], highs, atol=1e-4 * spread)


@pytest.mark.parametrize("count", [1, 2, 40])
def test_streaming_gives_what_all_samples_at_once_give(topology, count):
    names = watched(topology)[:4]
    images = feeds(count)
    seen = observe(topology, images, tensors=names, open_model=open_model, context=Context())

    values = [activations(topology, names, feed) for feed in images]
    for index, name in enumerate(names):
        lows = [float(image[index].min()) for image in values]
        assert seen.tensors[name].mean_low == pytest.approx(np.mean(lows), abs=1e-3)
    assert seen.images == count
    assert len(seen.signatures) == count


def test_black_images_are_observed_too(topology):
    names = watched(topology)
    black = [np.zeros((1, 3, 64, 64), np.float32)] * 2

    seen = observe(topology, black, tensors=names, open_model=open_model, context=Context())

    for stats in seen.tensors.values():
        assert np.isfinite([stats.low, stats.high, stats.quantile(0.0), stats.quantile(1.0)]).all()
    assert np.array_equal(seen.signatures[0], seen.signatures[1])


def test_what_is_kept_does_not_grow_with_the_images(topology):
    names = watched(topology)
    kept = []
    for count in (33, 66):
        seen = observe(
            topology, feeds(count), tensors=names, open_model=open_model, context=Context()
        )
        kept.append({name: stats.histogram.counts.nbytes for name, stats in seen.tensors.items()})
        assert seen.signatures.shape[0] == count
        assert seen.signatures.shape[1] <= 512
    assert kept[0] == kept[1]


def test_signatures_are_kept_of_the_first_images_only(topology, monkeypatch):
    monkeypatch.setattr("edgecv_cli.compress.quantization.observe.SIGNATURES", 3)
    names = watched(topology)
    seen = observe(topology, feeds(5), tensors=names, open_model=open_model, context=Context())

    assert len(seen.signatures) == 3
    assert not np.array_equal(seen.signatures[0], seen.signatures[1])


def test_observations_of_a_model_survive_being_stored(topology):
    names = watched(topology)
    seen = observe(topology, feeds(2), tensors=names, open_model=open_model, context=Context())
    data = seen.dumps()

    assert Observations.loads(data).dumps() == data
