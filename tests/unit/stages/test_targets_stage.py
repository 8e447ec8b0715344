"""What is here and what is missing, on machines made up for it."""

from __future__ import annotations

import pytest

from edgecv_cli.core import side_environment
from edgecv_cli.measure.doctor.accelerators import Accelerator
from edgecv_cli.stages import targets as stage
from edgecv_cli.stages.targets import TARGETS, Here, state_of

GPU = Accelerator(kind="nvidia-gpu", name="NVIDIA GPU", where="/dev/nvidia0")


def states(packages=(), devices=(), mac=False):
    def versions(names):
        return {name: "1.2.3" for name in names[:1] if name in packages}

    here = Here(versions, tuple(devices), mac)
    return {target.name: state_of(target, here) for target in TARGETS}


@pytest.fixture(autouse=True)
def _home(monkeypatch, tmp_path):
    monkeypatch.setenv("EDGECV_TARGETS_HOME", str(tmp_path))


def test_what_is_missing_comes_with_what_to_type():
    found = states()

    assert list(found) == [
        "onnxruntime",
        "openvino",
        "tensorrt-rtx",
        "tensorrt",
        "coreml",
        "tflite",
    ]
    assert not any(state.ready for state in found.values())
    assert found["openvino"].install == ("pip install openvino",)
    assert found["tflite"].install == (
        "edgecv targets install tflite",
        "pip install ai-edge-litert",
    )
    assert found["openvino"].verified is None
    assert found["tensorrt"].verified == "structure"


def test_how_far_a_result_is_verified_hangs_on_the_machine():
    rtx = ("tensorrt-rtx-cu12-bindings", "tensorrt-rtx-cu12-libs")
    core = ("coremltools", "onnx2coreml")

    assert states(rtx)["tensorrt-rtx"].verified == "built"
    assert states(rtx, [GPU])["tensorrt-rtx"].verified == "ran"
    locked = GPU.model_copy(update={"usable": False})
    assert states(rtx, [locked])["tensorrt-rtx"].verified == "built"
    assert states(core)["coreml"].verified == "structure"
    assert states(core, mac=True)["coreml"].verified == "ran"
    assert states(("openvino",))["openvino"].verified == "ran"
    assert "macOS" in states(core)["coreml"].why


def test_tflite_takes_its_environment_and_the_interpreter(monkeypatch):
    assert states(("ai-edge-litert",))["tflite"].install == ("edgecv targets install tflite",)
    monkeypatch.setattr(stage, "installed", lambda _side: {"onnx2tf": "2.6.9"})

    found = states(("ai-edge-litert",))["tflite"]

    assert found.ready
    assert found.verified == "ran"
    assert found.found == {"ai-edge-litert": "1.2.3", "onnx2tf (its own)": "2.6.9"}
    assert found.environment.startswith(str(side_environment.targets_home()))


def test_a_wheelhouse_can_be_filled_from_what_is_listed():
    needs = states()["tflite"].requirements
    assert all(name and version for name, _, version in (need.partition("==") for need in needs))
    assert len(needs) == len({need.partition("==")[0] for need in needs})
