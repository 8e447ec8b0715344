"""What a .tflite file holds, and files that are damaged on purpose."""

from __future__ import annotations

from contextlib import suppress

import lite_files
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lite_files import File, Operator, Tensor

from edgecv_cli.core.errors import ModelError, UsageError
from edgecv_cli.graph.litert_facts import read_litert
from edgecv_cli.graph.tflite import read_tflite


def sample(kind=lite_files.INT8, **image):
    scale = 0.5 if kind == lite_files.INT8 else None
    return File(
        [
            Tensor("image", (1, 64, 32, 3), kind, scale, 3, **image),
            Tensor("weights", (8, 3, 3, 3), kind, scale, stored=True),
            Tensor("found", (1, 8, 4, 8), kind, scale),
            Tensor("own", (1, 8), lite_files.FLOAT32),
        ],
        [
            Operator(lite_files.CONV_2D, [0, 1, -1], [2]),
            Operator(lite_files.CUSTOM, [2], [3], "TFLite_Detection_PostProcess"),
            Operator(161, [2], [3]),
        ],
        [0],
        [2, 3],
    )


def test_a_file_is_read_as_it_was_written(tmp_path):
    model = read_tflite(sample().write(tmp_path / "a.tflite"))

    assert [str(tensor.spec) for tensor in model.tensors] == [
        "image int8 [1,64,32,3]",
        "weights int8 [8,3,3,3]",
        "found int8 [1,8,4,8]",
        "own float32 [1,8]",
    ]
    assert (model.tensors[0].scale, model.tensors[0].zero_point) == (0.5, 3)
    assert [tensor.stored for tensor in model.tensors] == [False, True, False, False]
    assert (model.inputs, model.outputs, model.subgraphs) == ((0,), (2, 3), 1)
    assert [one.name for one in model.operators] == [
        "CONV_2D",
        "TFLite_Detection_PostProcess",
        "RIGHT_SHIFT",
    ]
    assert model.operators[0].inputs == (0, 1, -1)
    assert (model.precision, model.parameters) == ("int8", 216)


def test_facts_present_integers_as_what_they_stand_for(tmp_path):
    facts = read_litert(sample().write(tmp_path / "a.tflite"))

    assert [str(spec) for spec in facts.inputs] == ["image float32 [1,64,32,3]"]
    assert facts.input_size == (64, 32)
    assert facts.precision == "int8"
    assert facts.op_counts["CONV_2D"] == 1
    assert facts.tail is None


@pytest.mark.parametrize(
    ("kind", "precision"), [(lite_files.FLOAT32, "fp32"), (lite_files.FLOAT16, "fp16")]
)
def test_precision_is_that_of_most_weights(tmp_path, kind, precision):
    assert read_tflite(sample(kind).write(tmp_path / "a.tflite")).precision == precision


def test_an_open_size_is_open(tmp_path):
    path = sample(open=(1, -1, -1, 3)).write(tmp_path / "a.tflite")

    assert read_tflite(path).tensors[0].spec.shape == (1, None, None, 3)
    assert read_litert(path, input_size=(64, 64)).input_size == (64, 64)


def test_another_input_size_is_refused(tmp_path):
    with pytest.raises(UsageError, match="64x32"):
        read_litert(sample().write(tmp_path / "a.tflite"), input_size=(320, 320))


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\0" * 64, b"\x10\0\0\0ONNX" + b"\0" * 64])
def test_another_kind_of_file_is_named(tmp_path, content):
    path = tmp_path / "a.tflite"
    path.write_bytes(content)

    with pytest.raises(ModelError, match=r"a\.tflite"):
        read_tflite(path)


def test_a_file_without_outputs_is_damaged(tmp_path):
    file = sample()
    file.outputs = []
    with pytest.raises(ModelError, match="no outputs"):
        read_tflite(file.write(tmp_path / "a.tflite"))


def test_an_output_that_is_no_tensor_is_damaged(tmp_path):
    file = sample()
    file.outputs = [17]
    with pytest.raises(ModelError, match="no tensor"):
        read_tflite(file.write(tmp_path / "a.tflite"))


def test_a_tensor_of_very_many_axes_is_damaged(tmp_path):
    file = sample()
    file.tensors[2].shape = [1] * 5000
    with pytest.raises(ModelError, match="axes"):
        read_tflite(file.write(tmp_path / "a.tflite"))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_changed_bytes_are_read_or_refused_in_words(tmp_path_factory, data):
    content = bytearray(sample().content())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(8, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "mutant.tflite"
    path.write_bytes(bytes(content[: data.draw(st.integers(8, len(content)))]))

    with suppress(ModelError):
        assert read_tflite(path).inputs
