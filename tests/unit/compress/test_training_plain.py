"""What the training layer knows and refuses without torch."""

from __future__ import annotations

import itertools
import json

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from training_nets import bent, graph_of, pair

from edgecv_cli.compress.training.checkpoint import Checkpoint, load, save
from edgecv_cli.compress.training.ops_resize import coordinates, nearest
from edgecv_cli.compress.training.pictures import crop_of, tinted
from edgecv_cli.compress.training.program import operators, program_of
from edgecv_cli.compress.training.schedule import rate_at, split
from edgecv_cli.compress.training.write_back import with_weights_of
from edgecv_cli.core.errors import DataError, ModelError

KEPT = Checkpoint("digest", {"step": 3}, {"weight/0": np.arange(4, dtype=np.float32)})


def test_weights_are_told_from_sizes_and_statistics():
    program = program_of(bent())
    assert set(program.weights) == {"w1", "b1", "g", "be", "sl", "wd", "wt", "fc", "fb"}
    assert {"mu", "va", "sizes"} <= set(program.constants)
    assert (program.inputs, program.outputs) == (("x",), ("y1", "y2"))


def test_tensors_are_let_go_after_their_last_reader_and_outputs_are_not():
    program = program_of(bent(), also=["s"])
    gone = [name for step in program.instructions for name in step.done_with]
    assert len(gone) == len(set(gone))
    assert not {"y1", "y2", "s"} & set(gone)
    at = {step.op: step.done_with for step in program.instructions}
    assert set(at["Sub"]) == {"ra", "rb"}


def test_operators_are_counted_most_first():
    assert list(operators(pair()[0]).items()) == [("Conv", 2), ("Relu", 1)]


def test_an_unknown_operator_is_named_with_its_node():
    model = pair()[0]
    model.graph.node.append(helper.make_node("Det", ["y"], ["z"], name="/odd"))
    with pytest.raises(ModelError, match="Det of node '/odd'"):
        program_of(model)


def test_a_custom_domain_is_unknown_even_under_a_known_name():
    model = pair()[0]
    model.graph.node[1].domain = "acme"
    with pytest.raises(ModelError, match="Relu of node 'a'"):
        program_of(model)


def test_older_operator_sets_are_refused():
    model = pair()[0]
    model.opset_import[0].version = 11
    with pytest.raises(ModelError, match="operator set 13"):
        program_of(model)


def test_a_graph_without_weights_is_refused():
    with pytest.raises(ModelError, match="no weights"):
        program_of(graph_of([helper.make_node("Relu", ["x"], ["y"])], {}, ["y"]))


def test_written_weights_are_those_given_and_all_else_stays():
    model = bent()
    model.metadata_props.add(key="edgecv.spec", value="{}")
    new = {"w1": program_of(model).weights["w1"] * 2, "b1": np.ones(8, np.float32)}
    made = with_weights_of(model, new)
    for tensor in made.graph.initializer:
        if tensor.name in new:
            np.testing.assert_array_equal(numpy_helper.to_array(tensor), new[tensor.name])
            tensor.CopyFrom(next(t for t in model.graph.initializer if t.name == tensor.name))
    assert made == model


def test_weights_given_back_unchanged_leave_every_byte():
    model = bent()
    assert with_weights_of(model, program_of(model).weights) == model


@pytest.mark.parametrize(
    "values",
    [
        {"nowhere": np.ones(8, np.float32)},
        {"b1": np.ones(7, np.float32)},
        {"b1": np.full(8, np.nan, np.float32)},
    ],
)
def test_weights_of_something_else_are_refused(values):
    with pytest.raises(ModelError):
        with_weights_of(bent(), values)


def test_the_rate_warms_up_and_falls():
    rates = [rate_at(i / 1000, 0.5) for i in range(1001)]
    top = int(np.argmax(rates))
    assert rates[top] == pytest.approx(0.5)
    assert top == 50
    assert all(a < b for a, b in itertools.pairwise(rates[1:top]))
    assert all(a > b for a, b in itertools.pairwise(rates[top:]))
    assert rates[-1] == pytest.approx(0.01)
    assert min(rates) > 0


@given(st.integers(2, 400), st.integers(0, 9))
def test_images_are_either_trained_on_or_judged_by(count, seed):
    train, held_out = split(count, seed)
    assert sorted(train + held_out) == list(range(count))
    assert train
    assert len(held_out) == max(1, count // 8)
    assert split(count, seed) == (train, held_out)


def test_crops_are_parts_of_the_picture_and_follow_the_seed():
    picture = np.arange(20 * 30 * 3, dtype=np.int64).astype(np.uint8).reshape(20, 30, 3)
    one, again = (crop_of((20, 30), np.random.default_rng(5)).of(picture) for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert one.shape[0] >= 12
    assert one.shape[1] >= 18
    sizes = {crop_of((20, 30), np.random.default_rng(i)).of(picture).shape for i in range(8)}
    assert len(sizes) > 1


@pytest.mark.parametrize("mode", ["asymmetric", "half_pixel", "align_corners"])
@pytest.mark.parametrize("rounding", ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"])
def test_nearest_places_are_those_of_the_reference(mode, rounding):
    node = helper.make_node(
        "Resize", ["x", "", "", "s"], ["y"], mode="nearest", nearest_mode=rounding,
        coordinate_transformation_mode=mode,
    )  # fmt: skip
    for size, made in ((5, 12), (8, 3)):
        model = graph_of(
            [node], {"s": np.asarray([1, 1, 1, made], np.int64)}, ["y"], (1, 1, 1, size)
        )
        data = np.arange(size, dtype=np.float32).reshape(1, 1, 1, size)
        wanted = ReferenceEvaluator(model).run(None, {"x": data})[0].ravel()
        at = coordinates(size, made, made / size, mode)
        np.testing.assert_array_equal(nearest(at, size, rounding), wanted)


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    path = tmp_path / "a.training.npz"
    save(path, KEPT)
    save(path, KEPT)
    held = load(path, model="digest")
    assert held.header["step"] == 3
    np.testing.assert_array_equal(held.arrays["weight/0"], KEPT.arrays["weight/0"])
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    save(tmp_path / "a.npz", KEPT)
    with pytest.raises(DataError, match="another model"):
        load(tmp_path / "a.npz", model="other")


def _cut(path):
    path.write_bytes(path.read_bytes()[:-30])


def _objects(path):
    np.savez(path, header=np.asarray([{"a": 1}], object))


def _format(path):
    text = json.dumps({"format": "other/1", "model": "digest"}).encode()
    np.savez(path, header=np.frombuffer(text, np.uint8))


@pytest.mark.parametrize("harm", [_cut, _objects, _format])
def test_files_that_are_no_checkpoint_are_refused(tmp_path, harm):
    path = tmp_path / "a.npz"
    save(path, KEPT)
    harm(path)
    with pytest.raises(DataError, match="no checkpoint"):
        load(path)


def test_a_missing_checkpoint_is_said(tmp_path):
    with pytest.raises(DataError, match="no checkpoint"):
        load(tmp_path / "a.npz")


def test_the_pair_is_a_pair():
    assert [onnx.checker.check_model(one, full_check=True) for one in pair()] == [None, None]


def test_light_and_colours_vary_by_seed_and_the_picture_stays_one():
    picture = np.random.default_rng(0).integers(0, 256, (12, 9, 3)).astype(np.uint8)
    drawn = [tinted(picture, np.random.default_rng(seed)) for seed in range(24)]
    again = [tinted(picture, np.random.default_rng(seed)) for seed in range(24)]
    assert all(np.array_equal(one, other) for one, other in zip(drawn, again, strict=True))
    assert all((one.shape, one.dtype) == (picture.shape, picture.dtype) for one in drawn)
    changed = [one for one in drawn if not np.array_equal(one, picture)]
    assert 12 <= len(changed) < 24
    for one in changed:  # brighter stays brighter: it is the same picture in another light
        assert np.corrcoef(one.ravel(), picture.ravel())[0, 1] > 0.8
