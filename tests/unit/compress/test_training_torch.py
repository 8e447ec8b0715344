"""Graphs in torch: the same numbers as ONNX Runtime, gradients, and training that resumes."""

from __future__ import annotations

import cv2
import numpy as np
import onnxruntime
import pytest
from models import yolov8
from training_nets import bent, pair

from edgecv_cli.compress.training.checkpoint import load
from edgecv_cli.compress.training.finetune import Kept, finetune
from edgecv_cli.compress.training.mode import Mode
from edgecv_cli.compress.training.network import Network
from edgecv_cli.compress.training.pictures import Pictures
from edgecv_cli.compress.training.program import program_of
from edgecv_cli.compress.training.schedule import Recipe
from edgecv_cli.compress.training.write_back import with_weights_of
from edgecv_cli.core.context import Cancel, Context
from edgecv_cli.core.errors import DataError, InterruptedByUser, ModelError
from edgecv_cli.detector.recognise import recognise
from edgecv_cli.graph.inspect import input_specs, read_facts
from edgecv_cli.graph.normalise import normalise

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'edgecv[train]'")

QUICK = Recipe(steps=30, learning_rate=0.03, batch=2, check_every=10, threads=1)


def ran(model, feeds):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(None, feeds), strict=True))


def close(made, wanted, part=1e-5):
    for name, value in wanted.items():
        assert np.abs(made[name] - value).max() <= part * np.ptp(value)


def fed(size=(1, 4, 8, 8)):
    return {"x": np.random.default_rng(1).normal(0, 1, size).astype(np.float32)}


def numbers(outputs):
    return {name: one.detach().numpy() for name, one in outputs.items()}


def test_a_graph_of_many_operators_gives_the_same_numbers_and_gradients_everywhere():
    model = bent()
    network = Network(program_of(model), trained=True)
    made = network(fed())
    close(numbers(made), ran(model, fed()))
    sum(
        (one * torch.arange(one.numel()).reshape(one.shape)).sum() for one in made.values()
    ).backward()
    assert all(bool(one.grad.any()) for one in network.weights.values())
    with torch.no_grad():
        for one in network.weights.values():
            one.sub_(0.01 * torch.sign(one.grad))
        after = numbers(network(fed()))
    close(ran(with_weights_of(model, network.arrays()), fed()), after)


def test_a_detector_as_it_is_normalised_gives_the_same_numbers():
    model = normalise(yolov8(planted=True))
    name = model.graph.input[0].name
    feeds = {name: np.random.default_rng(0).random((1, 3, 64, 64), np.float32)}
    made = Network(program_of(model), trained=False)(feeds)
    close(numbers(made), ran(model, feeds))


def test_several_images_at_once_are_the_single_ones_and_have_their_gradients():
    model = normalise(yolov8(planted=True))
    name = model.graph.input[0].name
    rng = np.random.default_rng(0)
    feeds = [{name: rng.random((1, 3, 64, 64), np.float32)} for _ in range(3)]
    one, all_ = (Network(program_of(model), trained=True) for _ in range(2))
    together = all_.together(feeds)
    for place, feed in enumerate(feeds):
        apart = one(feed)
        close({key: value[place] for key, value in numbers(together).items()}, numbers(apart))
        sum(value.sum() for value in apart.values()).backward()
    sum(value.sum() for value in together.values()).backward()
    for key, weight in one.weights.items():
        torch.testing.assert_close(all_.weights[key].grad, weight.grad, rtol=1e-3, atol=1e-4)


def test_what_can_not_be_run_at_once_is_run_one_by_one(monkeypatch):
    model = pair()[0]
    rng = np.random.default_rng(0)
    feeds = [{"x": rng.random((1, 3, 32, 32), np.float32)} for _ in range(3)]
    network = Network(program_of(model), trained=False)
    wanted = [numbers(network(feed)) for feed in feeds]

    def refused(*_args, **_kwargs):
        raise RuntimeError("not under vmap")

    monkeypatch.setattr(torch, "vmap", refused)
    made = numbers(network.together(feeds))
    for place, one in enumerate(wanted):
        close({name: value[place] for name, value in made.items()}, one)


def test_half_precision_leaves_what_is_decoded_whole():
    model = normalise(yolov8(planted=True))
    name = model.graph.input[0].name
    feed = {name: np.random.default_rng(0).random((1, 3, 64, 64), np.float32)}
    whole = numbers(Network(program_of(model), trained=False)(feed))
    program = program_of(model)
    half = Network(program, trained=True, mode=Mode(half=True))
    made = half.together([feed, feed])
    assert {str(value.dtype) for value in made.values()} == {"torch.float32"}
    close({key: value[1] for key, value in numbers(made).items()}, whole, part=0.02)
    assert any(np.abs(value[0] - whole[key]).max() > 0 for key, value in numbers(made).items())
    sum(value.sum() for value in made.values()).backward()
    assert {str(one.grad.dtype) for one in half.weights.values()} == {"torch.float32"}


def test_a_node_that_can_not_be_run_is_named():
    model = pair()[0]
    network = Network(program_of(model), trained=False)
    with pytest.raises(ModelError, match="Conv of node 'h'"):
        network(fed((1, 2, 32, 32)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for index in range(8):
        small = rng.integers(0, 255, (6, 6, 3)).astype(np.uint8)
        cv2.imwrite(str(place / f"{index}.png"), cv2.resize(small, (40, 32)))
    return sorted(place.iterdir())


@pytest.fixture(scope="module")
def spec():
    found = recognise(read_facts(yolov8(planted=True))).spec
    return found.replace(input={**found.input.model_dump(), "name": "x", "size": (32, 32)})


def tune(folder, spec, recipe=QUICK, context=None, kept=None):
    whole, cut = pair()
    context = context or Context()
    pictures = Pictures(folder, input_specs(whole), spec, context)
    return finetune(whole, cut, ["y"], pictures, recipe, context=context, kept=kept)


def weights(tuned):
    return program_of(tuned.model).weights


def same(one, other):
    return all(np.array_equal(value, weights(other)[name]) for name, value in weights(one).items())


@pytest.fixture(scope="module")
def whole_run(folder, spec):
    return tune(folder, spec)


def test_the_student_comes_nearer_to_its_teacher_and_is_one_of_the_looked_at(whole_run):
    assert whole_run.after < 0.8 * whole_run.before
    assert (whole_run.ended, whole_run.steps) == ("steps", 30)
    assert whole_run.after == min(value for _, value in whole_run.curve)
    assert [step for step, _ in whole_run.curve] == [0, 10, 20, 30]


def test_one_seed_gives_one_result(folder, spec, whole_run):
    assert same(tune(folder, spec), whole_run)


class CancelAt(Cancel):
    """Asks to stop at the n-th poll."""

    def __init__(self, polls):
        super().__init__()
        self.left = polls

    def check(self):
        self.left -= 1
        if self.left < 0:
            self.set()
        super().check()


def test_an_interrupted_training_goes_on_to_the_same_bits(folder, spec, whole_run, tmp_path):
    path = tmp_path / "a.training.npz"
    with pytest.raises(InterruptedByUser):
        tune(folder, spec, context=Context(cancel=CancelAt(8 + 2 * 17 + 1)), kept=Kept(path))
    assert path.is_file()
    went_on = tune(folder, spec, kept=Kept(path, resume=True))
    assert went_on.curve == whole_run.curve
    assert same(went_on, whole_run)
    with pytest.raises(DataError, match="other options"):
        tune(folder, spec, Recipe(steps=31, threads=1), kept=Kept(path, resume=True))


@pytest.mark.parametrize("step", [10, 20])
def test_an_interruption_beside_a_look_loses_no_update(folder, spec, whole_run, tmp_path, step):
    path = tmp_path / "a.training.npz"
    with pytest.raises(InterruptedByUser):  # 8 polls read the pictures, an update has 2
        tune(folder, spec, context=Context(cancel=CancelAt(8 + 2 * step)), kept=Kept(path))
    assert load(path).header["step"] == step
    went_on = tune(folder, spec, kept=Kept(path, resume=True))
    assert went_on.curve == whole_run.curve
    assert same(went_on, whole_run)


def test_a_training_on_other_pictures_is_not_gone_on_with(folder, spec, tmp_path):
    path = tmp_path / "a.training.npz"
    tune(folder, spec, kept=Kept(path))
    with pytest.raises(DataError, match="other"):
        tune(folder[:-1], spec, kept=Kept(path, resume=True))


def test_a_loss_that_is_no_number_ends_it_with_the_best_before(folder, spec):
    recipe = Recipe(steps=30, learning_rate=1e30, clip=1e30, batch=2, check_every=2, threads=1)
    made = tune(folder, spec, recipe)
    assert made.ended == "diverged"
    assert (made.best, made.after) == (0, made.before)
    assert "finite" in made.warning


def test_it_goes_back_and_slows_down_where_the_rate_is_too_high(folder, spec):
    recipe = Recipe(steps=60, learning_rate=3.0, batch=2, check_every=4, patience=99, threads=1)
    made = tune(folder, spec, recipe)
    assert made.retreats > 0
    assert made.after < made.before
    assert max(value for _, value in made.curve) > 1.2 * made.before


def test_it_ends_early_where_nothing_is_gained(folder, spec):
    made = tune(
        folder, spec, Recipe(steps=99, learning_rate=1e-12, check_every=1, patience=2, threads=1)
    )
    assert made.ended == "patience"
    assert made.steps < 99


def test_time_bounds_it(folder, spec):
    ticks = iter(range(10**6))
    clock = Context(clock=lambda: next(ticks) * 10_000_000_000)
    made = tune(folder, spec, Recipe(steps=99, minutes=1, batch=1, threads=1), context=clock)
    assert made.ended == "minutes"
    assert 1 <= made.steps <= 7


def test_too_few_images_are_refused(folder, spec):
    with pytest.raises(DataError, match="at least 4"):
        tune(folder[:3], spec)
