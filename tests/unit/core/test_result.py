"""Results print what was measured, and only that."""

import json

import pytest
from pydantic import ValidationError

from edgecv_cli.core.result import Drop, Interval, Result
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.core.version import __version__


class Measured(Result):
    drop: Drop | None = None
    interval: Interval | None = None


def test_what_was_not_measured_is_absent():
    printed = Measured(schema="edgecv.test/1", drop=Drop(points=1.5, relative=0.03)).to_json()
    assert printed == {
        "schema": "edgecv.test/1",
        "edgecv": __version__,
        "drop": {"points": 1.5, "relative": 0.03},
    }
    assert json.loads(json.dumps(printed)) == printed


def test_results_are_frozen_and_refuse_unknown_keys():
    result = Measured(schema="edgecv.test/1")
    with pytest.raises(ValidationError):
        result.edgecv = "2"
    with pytest.raises(ValidationError):
        Measured(schema="edgecv.test/1", extra=1)


def test_a_tensor_says_its_open_axes():
    spec = TensorSpec("images", (1, 3, None, None), "float32")
    assert str(spec) == "images float32 [1,3,?,?]"
    assert not spec.is_static
    assert TensorSpec("images", (1, 3, 8, 8), "uint8").is_static
