"""What did not run where, or as, it was asked to."""

from __future__ import annotations

import sys

import pytest

from edgecv_cli.measure.debug_builds import debug_note
from edgecv_cli.measure.provider_fallback import elsewhere, ran_elsewhere
from edgecv_cli.runtime.base import Execution
from edgecv_cli.runtime.operators import OperatorTime


@pytest.mark.parametrize(
    ("engine", "provider"),
    [
        ("onnxruntime", "CPUExecutionProvider"),
        ("onnxruntime:CPU", "CPUExecutionProvider"),
        ("onnxruntime:cuda", "CUDAExecutionProvider"),
        ("openvino", "CPU"),
        ("openvino:cpu:bf16", "CPU"),
        ("openvino::bf16", "CPU"),
        ("openvino:gpu", "GPU.0"),
        ("openvino:gpu.1", "GPU.1"),
    ],
)
def test_what_ran_where_it_was_asked_to_is_silent(engine, provider):
    assert ran_elsewhere(engine, provider) is None


@pytest.mark.parametrize(
    ("engine", "provider", "told"),
    [
        ("onnxruntime:cuda", "CPUExecutionProvider", "cuda was asked for, and it ran on CPUExec"),
        ("openvino:gpu.1", "GPU.0", "gpu.1 was asked for, and it ran on GPU.0"),
        ("openvino", "GPU.0", "cpu was asked for"),
    ],
)
def test_another_device_is_named(engine, provider, told):
    assert told in ran_elsewhere(engine, provider)


def operator(kind, provider, ms):
    return OperatorTime(kind, kind, None, provider, "float32", False, (ms * 1e6,))


def test_operators_that_are_left_to_the_processor_are_named():
    operators = [
        operator("Conv", "CUDAExecutionProvider", 6),
        operator("NonMaxSuppression", "CPUExecutionProvider", 1),
        operator("Gather", "CPUExecutionProvider", 1),
    ]

    assert elsewhere("onnxruntime:cuda", operators) == (
        "2 of 3 operators, 25% of the time, ran on CPUExecutionProvider and not on cuda: "
        "Gather, NonMaxSuppression"
    )
    assert elsewhere("onnxruntime:cuda", operators[:1]) is None
    assert elsewhere("onnxruntime:cuda", operators[1:]).startswith("2 of 2 operators, 100%")


def execution(*, debug):
    return Execution("onnxruntime", "1", "CPUExecutionProvider", "cpu", "unknown", debug=debug)


def test_release_builds_are_silent(monkeypatch):
    monkeypatch.delattr(sys, "gettotalrefcount", raising=False)

    assert debug_note(execution(debug=False)) is None


def test_debug_builds_are_named(monkeypatch):
    monkeypatch.delattr(sys, "gettotalrefcount", raising=False)
    assert debug_note(execution(debug=True)).startswith("onnxruntime is a debug build:")

    monkeypatch.setattr(sys, "gettotalrefcount", lambda: 1, raising=False)
    assert debug_note(execution(debug=False)).startswith("Python is a debug build:")
    assert debug_note(execution(debug=True)).startswith("onnxruntime and Python are debug builds:")
