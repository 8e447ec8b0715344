"""Weights are found in an engine in the type that it holds them in, and nowhere else."""

import models_tensorrt as trt
import numpy as np
import pytest
from onnx import numpy_helper

from edgecv_cli.graph.tensorrt.engine_weights import weights_inside


def engine(weights, *, order):
    noise = np.random.default_rng(5).integers(0, 256, 4096, np.uint8).tobytes()
    return noise + np.ascontiguousarray(weights.transpose(order)).tobytes() + noise


@pytest.fixture
def model():
    return trt.layer()


@pytest.fixture
def weights(model):
    (found,) = (numpy_helper.to_array(one) for one in model.graph.initializer if one.name == "w")
    return found


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1)])
def test_int8_is_found_with_channels_first_and_last(model, weights, order):
    found = weights_inside(model, engine(weights, order=order))
    assert (found.layers, found.size, found.unseen) == ({"int8": 1}, {"int8": weights.nbytes}, 0)


def test_floats_of_the_same_numbers_are_not_int8(model, weights):
    found = weights_inside(model, engine(weights.astype(np.float32), order=(0, 1, 2, 3)))
    assert (found.layers, found.unseen) == ({}, 1)


def test_zeros_prove_nothing():
    flat = trt.layer(weights=np.zeros((4, 3, 3, 3), np.int8))
    found = weights_inside(flat, bytes(4096))
    assert (found.layers, found.unseen) == ({}, 1)
