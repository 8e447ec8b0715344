"""What distill is asked for: who teaches, at what rate, and by which gates it is judged."""

from __future__ import annotations

import pytest

from edgecv_cli.config.distill import DistillConfig
from edgecv_cli.core.errors import UsageError


def config(**changes):
    return DistillConfig(**{"model": "s.onnx", "output": "o.onnx", "images": "photos", **changes})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "not told what to learn from"),
        ({"teacher": "t.onnx", "control": "labels"}, "--control labels learns from labels"),
        ({"control": "labels", "lesson": "raw"}, "labels are objects"),
        ({"teacher": "t.onnx", "target": "cpu"}, "--target is for --qat"),
        ({"teacher": "t.onnx", "max_drop": "1%"}, "--data"),
        ({"teacher": "t.onnx", "min_speedup": 1.1, "speed_seconds": 0}, "--speed-seconds"),
    ],
)
def test_what_can_not_be_is_refused(changes, said):
    with pytest.raises(UsageError, match=said):
        config(**changes)


@pytest.mark.parametrize(
    "changes", [{"width": 0.5}, {"swap": "silu=relu"}, {"qat": True}, {"control": "labels"}]
)
def test_each_of_these_says_who_teaches(changes):
    assert config(**changes).teacher is None


@pytest.mark.parametrize("width", [0, 1, -0.5])
def test_a_width_is_a_part(width):
    with pytest.raises(ValueError, match="width"):
        config(width=width)


def test_a_student_that_was_altered_learns_faster():
    assert config(teacher="t.onnx").rate == 0.001
    assert config(width=0.5).rate == config(swap="silu=relu").rate == 0.003
    assert config(width=0.5, learning_rate=0.01).rate == 0.01


def test_gates_in_force():
    assert config(width=0.5).agreement_gate == 0.9
    assert config(width=0.5).drop_gate is None
    labelled = config(width=0.5, data="coco")
    assert (str(labelled.drop_gate), labelled.agreement_gate) == ("3%", None)
