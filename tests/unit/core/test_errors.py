"""Every failure has words, a remedy, a kind of its own and the exit code of the contract."""

import pytest

from edgecv_cli.core import errors


def classes():
    found, pending = [], [errors.EdgeCVError]
    while pending:
        found.append(pending.pop())
        pending.extend(found[-1].__subclasses__())
    return [one for one in found if one.__module__ == errors.__name__]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("UsageError", 2),
        ("ConfigError", 2),
        ("OutputExistsError", 2),
        ("UnrecognisedError", 2),
        ("ModelError", 1),
        ("DataError", 1),
        ("OutputError", 1),
        ("EngineError", 1),
        ("MissingDependencyError", 1),
        ("ChildFailureError", 1),
        ("DeviceError", 1),
        ("GateNotMetError", 3),
        ("InterruptedByUser", 130),
    ],
)
def test_exit_codes_are_those_of_the_contract(name, code):
    assert getattr(errors, name).exit_code == code


def test_no_two_failures_are_of_one_kind():
    kinds = [one.kind for one in classes()]
    assert len(kinds) == len(set(kinds)) == 14


def test_words_hold_the_problem_and_the_remedy():
    error = errors.ModelError("m.onnx is empty", remedy="export it again")
    assert str(error) == "m.onnx is empty (export it again)"


def test_a_gate_carries_the_whole_result():
    result = object()
    assert errors.GateNotMetError("worse", remedy="relax it", result=result).result is result
