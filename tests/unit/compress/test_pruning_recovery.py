"""What stays is fitted to what the whole network made."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecv_cli.compress.pruning.allocate import Costs, allocate
from edgecv_cli.compress.pruning.analyse import analyse
from edgecv_cli.compress.pruning.curves import Curve, Reader, curve_of
from edgecv_cli.compress.pruning.cut import cut
from edgecv_cli.compress.pruning.importance import simple_curve
from edgecv_cli.compress.pruning.least_squares import Moments, fitted
from edgecv_cli.compress.pruning.places import Places, kept_channels
from edgecv_cli.compress.pruning.readers import read_inputs
from edgecv_cli.compress.pruning.reconstruct import reconstruct
from edgecv_cli.compress.walk import exact_opener
from edgecv_cli.core.context import Context
from edgecv_cli.graph.topology import Topology

SIDE = 12


def doubled():
    """A layer of 16 channels of which the last 8 say what the first 8 say, read by two others."""
    rng = np.random.default_rng(0)
    first = rng.normal(0, 0.4, (8, 3, 3, 3)).astype(np.float32)
    stored = {
        "a_w": np.concatenate([first, first]),
        "a_b": np.tile(rng.normal(0, 0.2, 8), 2).astype(np.float32),
        "b_w": rng.normal(0, 0.3, (16, 16, 3, 3)).astype(np.float32),
        "y_w": rng.normal(0, 0.3, (6, 16, 1, 1)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "a_w", "a_b"], ["a"], pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["ar"]),
        helper.make_node("Conv", ["ar", "b_w"], ["b"], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["b"], ["br"]),
        helper.make_node("Conv", ["br", "y_w"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "doubled",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 6, SIDE // 2, SIDE // 2])],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return Topology.of(onnx.shape_inference.infer_shapes(model))


def feeds(count, seed=0):
    rng = np.random.default_rng(seed)
    return [{"x": rng.normal(0, 1, (1, 3, SIDE, SIDE)).astype(np.float32)} for _ in range(count)]


def infer(model, images, folder):
    run = exact_opener(folder, 1)(model.SerializeToString())
    return np.stack([run(image)[0] for image in images])


def places(kept):
    return Places(kept, (SIDE, SIDE), seed=0)


@pytest.fixture
def flow():
    return analyse(doubled())


@pytest.fixture
def twins(flow):
    """The units of the second halves: nothing is lost without them."""
    return frozenset(int(unit) for unit in flow.made_by["a"][8:])


def test_least_squares_is_that_of_numpy():
    rng = np.random.default_rng(0)
    x, y = rng.normal(1, 1, (1, 400, 5)), rng.normal(0, 1, (1, 3, 400))
    y += 2 * x[0, :, :3].T
    moments = Moments()
    for part in range(4):
        rows = slice(100 * part, 100 * part + 100)
        moments.add(x[:, rows].astype(np.float32), y[:, :, rows].astype(np.float32))
    found = fitted(np.zeros((1, 3, 5)), np.zeros((1, 3)), moments, moments, weights=True)
    wide = np.concatenate([x[0], np.ones((400, 1))], axis=1)
    expected, *_ = np.linalg.lstsq(wide, y[0].T, rcond=None)
    assert found.ridge == 0.001
    np.testing.assert_allclose(found.weights[0], expected[:5].T, atol=0.01)
    np.testing.assert_allclose(found.bias[0], expected[5], atol=0.02)
    residual = y[0] - (expected.T @ wide.T)
    share = (residual**2).mean() / y[0].var(axis=1).mean()
    assert found.error == pytest.approx(share, rel=0.01)


def test_weights_that_were_right_stay():
    rng = np.random.default_rng(1)
    start = rng.normal(0, 1, (2, 3, 4))
    fit, check = Moments(), Moments()
    for moments in (fit, check):
        x = rng.normal(0, 1, (2, 50, 4))
        y = np.einsum("goi,gni->gon", start, x) + 5
        moments.add(x.astype(np.float32), y.astype(np.float32))
    found = fitted(start, np.zeros((2, 3)), fit, check, weights=True)
    np.testing.assert_allclose(found.weights, start, atol=1e-4)
    np.testing.assert_allclose(found.bias, 5, atol=1e-3)
    assert found.error < 1e-6


def test_bias_alone_leaves_weights():
    rng = np.random.default_rng(2)
    start = rng.normal(0, 1, (1, 3, 4))
    moments = Moments()
    x = rng.normal(0, 1, (1, 50, 4))
    moments.add(x.astype(np.float32), (np.einsum("goi,gni->gon", start, x) * 2).astype(np.float32))
    found = fitted(start, np.zeros((1, 3)), moments, moments, weights=False)
    assert np.array_equal(found.weights, start)
    assert found.ridge is None


def test_reconstruction_returns_what_twins_carried(flow, twins, tmp_path):
    smaller = cut(flow, twins)
    kept = kept_channels(flow, twins)
    mended, fits = reconstruct(
        flow, smaller, feeds(24), places(kept), open_model=exact_opener(tmp_path, 1),
        context=Context(),
    )  # fmt: skip
    fresh = feeds(4, seed=9)
    whole, plain, found = (
        infer(model, fresh, tmp_path) for model in (flow.topology.model, smaller, mended)
    )
    assert np.abs(plain - whole).max() > 0.2
    assert np.abs(found - whole).max() < 0.02 * np.abs(plain - whole).max()
    assert [fit.layer for fit in fits] == ["b", "y"]
    assert all(fit.after <= fit.before for fit in fits)
    onnx.checker.check_model(mended, full_check=True)


def test_reconstruction_beats_biases_which_beat_nothing(flow, tmp_path):
    removed = flow.survivable([int(unit) for unit in flow.groups[0].units[2:8]])
    smaller, kept = cut(flow, removed), kept_channels(flow, removed)
    fresh = feeds(8, seed=9)
    errors = []
    for recover in ("bias", "reconstruct"):
        mended, _ = reconstruct(
            flow, smaller, feeds(24), places(kept), open_model=exact_opener(tmp_path, 1),
            context=Context(), recover=recover,
        )  # fmt: skip
        errors.append(mended)
    whole = infer(flow.topology.model, fresh, tmp_path)
    plain, bias, weights = (
        float(((infer(model, fresh, tmp_path) - whole) ** 2).mean()) for model in (smaller, *errors)
    )
    assert weights < bias < plain


def test_nothing_to_fit_on_leaves_the_cut_as_it_is(flow, twins, tmp_path):
    smaller = cut(flow, twins)
    found, fits = reconstruct(
        flow, smaller, feeds(1), places(kept_channels(flow, twins)),
        open_model=exact_opener(tmp_path, 1), context=Context(),
    )  # fmt: skip
    assert found == smaller
    assert fits == ()


def test_twins_leave_first_and_at_no_cost(flow, tmp_path):
    readers = read_inputs(
        flow, feeds(12), places({}), open_model=exact_opener(tmp_path, 1), context=Context()
    )
    group = next(one for one in flow.groups if one.producers == ("a",))
    curve = curve_of(group, readers, step=1, cap=0.75)
    channels = np.searchsorted(flow.made_by["a"], curve.order) % 8
    assert len(set(channels[:8])) == 8  # one of each pair, never both
    assert curve.errors[7] < 0.05 * curve.errors[11]
    assert (np.diff(curve.errors) >= 0).all()


def test_the_error_is_what_fitting_anew_leaves():
    """Against least squares on the columns that are left, solved from nothing."""
    rng = np.random.default_rng(0)
    flow = analyse(doubled())
    group = next(one for one in flow.groups if one.producers == ("b",))
    x = rng.normal(0, 1, (500, 16)) @ rng.normal(0, 1, (16, 16))
    x -= x.mean(axis=0)
    weight = rng.normal(0, 1, (6, 16))
    covariance = x.T @ x / len(x)
    variance = float(np.einsum("oi,ij,oj->", weight, covariance, weight))
    labels = flow.channels["br"].labels
    reader = Reader("y", weight, covariance, x.mean(axis=0), variance, labels)
    curve = curve_of(group, {"y": reader}, step=1, cap=0.5)
    gone = np.isin(labels, curve.order)
    y = x @ weight.T
    solved, *_ = np.linalg.lstsq(x[:, ~gone], y, rcond=None)
    left = ((y - x[:, ~gone] @ solved) ** 2).sum() / len(x) / variance
    assert curve.errors[-1] == pytest.approx(left, rel=0.1, abs=0.01)
    found, shift = reader.refitted({int(unit) for unit in curve.order})
    assert found.shape == (6, 8)
    np.testing.assert_allclose(shift, 0, atol=1e-9)


def test_a_group_whose_reader_is_unknown_is_left_alone(flow):
    assert curve_of(flow.groups[0], {}, step=1, cap=0.5) is None
    assert simple_curve(flow, flow.groups[0], {}, "activation", cap=0.5) is None


@pytest.mark.parametrize("kind", ["l1", "l2"])
def test_small_weights_leave_first(flow, kind):
    group = flow.groups[0]
    curve = simple_curve(flow, group, {}, kind, cap=0.5)
    weight = flow.topology.constants.value("a_w")
    norms = [float((np.abs(row) ** (1 if kind == "l1" else 2)).sum()) for row in weight]
    gone = np.searchsorted(flow.made_by["a"], curve.order)
    stays = [norm for index, norm in enumerate(norms) if index not in set(gone)]
    assert len(gone) == 8
    assert max(norms[index] for index in gone) <= min(stays) + 1e-6


def test_costs_are_those_of_the_graph(flow):
    curves = [Curve(group, group.units, np.zeros(len(group.units))) for group in flow.groups]
    costs = Costs(flow, curves)
    assert costs.total == flow.macs(())
    some = [int(unit) for group in flow.groups for unit in group.units[:3]]
    saved = costs.saved(some)
    assert costs.total == flow.macs(())
    costs.remove(some)
    assert costs.total == pytest.approx(flow.macs(some))
    assert flow.macs(()) - saved == pytest.approx(flow.macs(some))


def test_the_cheapest_damage_is_done_first(flow):
    dear, cheap = flow.groups
    curves = [
        Curve(dear, dear.units[:8], np.linspace(1, 8, 8)),
        Curve(cheap, cheap.units[:8], np.linspace(0.001, 0.008, 8)),
    ]
    removed, share = allocate(flow, curves, share=0.9, step=2)
    assert share <= 0.9
    assert removed <= {int(unit) for unit in cheap.units}
    removed, share = allocate(flow, curves, share=0.01, step=2)
    assert len(removed) == 16  # all that may leave
    assert share > 0.01


def test_half_of_the_places_lie_on_objects():
    boxes = [np.asarray([[0.0, 0.0, 32.0, 32.0]])]
    chosen = Places({}, (64, 64), seed=0, boxes=boxes).of(0, 16, 9, (64, 64))
    inside = (chosen // 64 < 32) & (chosen % 64 < 32)
    assert 0.5 <= inside.mean() < 0.8
    even = Places({}, (64, 64), seed=0).of(0, 16, 9, (64, 64))
    assert (((even // 64 < 32) & (even % 64 < 32)).mean()) < 0.4
    assert len(set(even)) == len(even)
