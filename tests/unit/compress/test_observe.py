"""Streaming statistics against the activations themselves."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import yolov8

from edgecv_cli.compress.quantization.grids import tensors_of
from edgecv_cli.compress.quantization.observe import Counter, observe
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
