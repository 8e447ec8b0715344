"""What an Edge TPU takes of a file, by the published list."""

from __future__ import annotations

import lite_files
import pytest
from lite_files import File, Operator, Tensor

from edgecv_cli.graph.edgetpu import edgetpu_report
from edgecv_cli.graph.tflite import read_tflite

INT8, FLOAT32 = lite_files.INT8, lite_files.FLOAT32


@pytest.fixture
def report(tmp_path):
    def read(file):
        return edgetpu_report(read_tflite(file.write(tmp_path / "a.tflite")))

    return read


def chain(*codes, kind=INT8, shape=(1, 8, 8, 4)):
    """A chain of operators over tensors of one shape."""
    tensors = [Tensor(f"t{i}", shape, kind, 0.1) for i in range(len(codes) + 1)]
    operators = [Operator(code, [i], [i + 1]) for i, code in enumerate(codes)]
    return File(tensors, operators, [0], [len(codes)])


def test_a_file_of_known_operators_fits(report):
    found = report(chain(lite_files.CONV_2D, lite_files.MAX_POOL_2D, lite_files.CONV_2D))

    assert found.fits
    assert found.full_int8
    assert found.static
    assert (found.operators, found.mapped, found.supported) == (3, 3, 3)
    assert found.unsupported == ()


def test_what_follows_the_first_unknown_operator_stays_on_the_cpu(report):
    conv, leaky = lite_files.CONV_2D, lite_files.LEAKY_RELU
    found = report(chain(conv, leaky, conv, leaky, conv))

    assert not found.fits
    assert (found.operators, found.mapped, found.supported) == (5, 1, 3)
    (only,) = found.unsupported
    assert (only.operator, only.count, only.first) == ("LEAKY_RELU", 2, 1)
    assert "does not know" in only.reason


def test_floats_are_refused_by_name(report):
    found = report(chain(lite_files.CONV_2D, kind=FLOAT32))

    assert not found.full_int8
    assert found.mapped == 0
    assert "float32" in found.unsupported[0].reason


def test_an_open_shape_is_refused(report):
    file = chain(lite_files.CONV_2D)
    file.tensors[0].open = (1, -1, 8, 4)
    found = report(file)

    assert not found.static
    assert found.unsupported[0].reason == "a shape is open"


def test_only_three_axes_may_be_large(report):
    found = report(chain(lite_files.CONV_2D, shape=(2, 8, 8, 4)))
    assert "three innermost" in found.unsupported[0].reason


@pytest.mark.parametrize(
    ("shape", "fits"), [((1, 80), True), ((8, 80), False), ((1, 20000), False)]
)
def test_a_softmax_takes_one_row(report, shape, fits):
    assert report(chain(lite_files.SOFTMAX, shape=shape)).fits is fits


def test_a_stored_tensor_is_joined_with_one_other(report):
    def joined(count):
        tensors = [Tensor(f"t{i}", (1, 8, 8, 4), INT8, 0.1, stored=i == 1) for i in range(count)]
        tensors.append(Tensor("out", (1, 8, 8, 8), INT8, 0.1))
        operator = Operator(lite_files.CONCATENATION, list(range(count)), [count])
        return File(tensors, [operator], [0], [count])

    assert report(joined(2)).fits
    assert "more than one other" in report(joined(3)).unsupported[0].reason
