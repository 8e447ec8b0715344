"""Objects taught by where they lie: decoded students, what is found, and what is learned."""

from __future__ import annotations

from types import SimpleNamespace

import models
import numpy as np
import onnxruntime
import pytest

from edgecv_cli.compress.training.dense import DenseLesson
from edgecv_cli.compress.training.located import BOXES, SCORES, LocatedLesson, decoded_program
from edgecv_cli.compress.training.network import Network
from edgecv_cli.compress.training.pictures import Shown
from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.errors import UsageError
from edgecv_cli.detector.ingraph import decoded
from edgecv_cli.detector.recognise import recognise
from edgecv_cli.graph.headsplit import value_specs
from edgecv_cli.graph.inspect import read_facts
from edgecv_cli.graph.normalise import normalise

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'edgecv[train]'")

SPEC = SimpleNamespace(
    input=SimpleNamespace(size=(100, 100)), classes=("none", "a", "b"), background=0
)
TWO = ([[10, 10, 50, 50], [60, 60, 90, 90]], [0.9, 0.8], [1, 2])


def shown(boxes, sure, kinds):
    """Return one picture with its objects: corners in pixels, scores, class indices."""
    box = np.asarray(boxes, np.float32).reshape(-1, 4)
    objects = Detections(box, np.asarray(sure, np.float32), np.asarray(kinds, np.int64))
    return [Shown({}, objects)]


def said(boxes, scores):
    """Return one picture's candidates: corners in pixels, a score for each class but background."""
    box = torch.tensor(boxes, dtype=torch.float32) / 100
    centre, extent = (box[:, :2] + box[:, 2:]) / 2, box[:, 2:] - box[:, :2]
    return {BOXES: torch.cat([centre, extent], 1)[None], SCORES: torch.tensor(scores)[None]}


def found(scores, third=(0.0, 0.0)):
    """Return both objects' boxes with these scores, and a box where nothing is."""
    return said([*TWO[0], [1, 60, 21, 80]], [[scores[0], 0.0], [0.0, scores[1]], list(third)])


@pytest.fixture(scope="module")
def lesson():
    return LocatedLesson(SPEC, "x")


def test_what_says_all_as_its_teacher_does_is_judged_perfect(lesson):
    assert float(lesson.judged(found((0.9, 0.8)), shown(*TWO))) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    "worse",
    [
        found((0.5, 0.8)),
        found((0.9, 0.8), third=(0.9, 0.0)),
        said([[10, 10, 50, 30], [60, 60, 90, 90]], [[0.9, 0.0], [0.0, 0.8]]),
        said(TWO[0], [[0.0, 0.9], [0.8, 0.0]]),
    ],
    ids=["unsure", "false alarm", "half a box", "wrong class"],
)
def test_less_is_judged_worse(lesson, worse):
    assert float(lesson.judged(worse, shown(*TWO))) > 0.02


def test_false_alarms_count_where_there_is_nothing(lesson):
    nothing = shown([], [], [])
    quiet, loud = (float(lesson.judged(found((one, one)), nothing)) for one in (0.01, 0.9))
    assert quiet < 0.001 < 0.1 < loud
    assert float(lesson(found((0.01, 0.01)), nothing)) < float(lesson(found((0.9, 0.9)), nothing))


def test_classes_without_a_partner_teach_nothing(lesson):
    unknown = shown(TWO[0], TWO[1], [0, 7])
    assert float(lesson(found((0.5, 0.5)), unknown)) == pytest.approx(
        float(lesson(found((0.5, 0.5)), shown([], [], [])))
    )


def test_candidates_that_follow_the_loss_end_at_the_objects(lesson):
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 70, (40, 2))
    start = said(np.hstack([corner, corner + 25]).tolist(), np.full((40, 2), 0.1).tolist())
    boxes = start[BOXES].clone().requires_grad_(True)
    logits = torch.logit(start[SCORES]).clone().requires_grad_(True)
    moved = torch.optim.Adam([boxes, logits], lr=0.05)

    def now():
        return {BOXES: boxes, SCORES: torch.sigmoid(logits)}

    def judged():
        return float(lesson.judged(now(), shown(*TWO)).detach())

    before = judged()
    for _ in range(50):
        moved.zero_grad()
        lesson(now(), shown(*TWO)).backward()
        moved.step()
    assert judged() < 0.5 * before


@pytest.mark.parametrize(
    "build", [models.yolov8, models.yolox, models.nanodet_plus, models.ssd, models.fastestdet]
)
def test_a_student_of_any_family_gives_boxes_and_scores_that_gradients_flow_through(build):
    graph = build()
    spec = recognise(read_facts(graph)).spec
    model = normalise(graph)
    name = model.graph.input[0].name
    feeds = {name: np.random.default_rng(0).random((1, 3, 64, 64), np.float32)}
    network = Network(decoded_program(model, spec), trained=True)
    made = network.together([feeds])
    whole = decoded(model, spec, value_specs(model), boxes=BOXES, scores=SCORES).model
    session = onnxruntime.InferenceSession(whole.SerializeToString())
    for key, value in zip((BOXES, SCORES), session.run([BOXES, SCORES], feeds), strict=True):
        np.testing.assert_allclose(made[key][0].detach().numpy(), value, rtol=1e-3, atol=1e-4)
    height, width = spec.input.size
    lesson = LocatedLesson(spec, "x")
    kind = next(index for index in range(len(spec.classes)) if index != spec.background)
    lesson(made, shown([[0, 0, width / 2, height / 2]], [1.0], [kind])).backward()
    moved = [name for name, one in network.weights.items() if one.grad is not None]
    assert len(moved) >= 0.8 * len(network.weights)


def test_candidates_of_a_like_teacher_are_learned_until_they_are_its_own():
    graph = models.yolov8(planted=True)
    spec, model = recognise(read_facts(graph)).spec, normalise(graph)
    lesson = DenseLesson(model, spec)
    feeds = {model.graph.input[0].name: np.zeros((1, 3, 64, 64), np.float32)}
    feeds[model.graph.input[0].name][:, 0, 16:40, 16:40] = 1
    with torch.no_grad():
        own = Network(decoded_program(model, spec), trained=False).together([feeds])
        unsure = {**own, SCORES: own[SCORES] * 0.5}
        moved = {**own, BOXES: own[BOXES] + 0.1}
        said = [float(lesson.judged(one, [feeds])) for one in (own, unsure, moved)]
    assert float(own[SCORES].max()) > 0.5
    assert said[0] == pytest.approx(0, abs=1e-3)
    assert min(said[1:]) > 0.05


def test_a_student_that_selects_boxes_itself_is_refused():
    graph = models.yolov8()
    spec = recognise(read_facts(graph)).spec
    held = [one.model_copy(update={"holds": ("score",)}) for one in spec.outputs.tensors]
    selects = spec.model_copy(
        update={"outputs": spec.outputs.model_copy(update={"tensors": tuple(held)})}
    )
    with pytest.raises(UsageError, match="selects boxes itself") as caught:
        decoded_program(normalise(graph), selects)
    assert "--nms none" in caught.value.remedy
