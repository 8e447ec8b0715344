"""The file beside an artifact that holds what was measured of it."""

from __future__ import annotations

import pytest

from edgecv_cli.artifact.sidecar import read_sidecar, sidecar_path, sidecar_text
from edgecv_cli.core.errors import ModelError

DIGEST = "ab" * 32


@pytest.fixture
def model(tmp_path):
    return tmp_path / "net.int8.onnx"


def test_it_stands_beside_the_model(model):
    assert sidecar_path(model) == model.with_name("net.int8.onnx.edgecv.json")


def test_what_was_measured_comes_back(model):
    measured = {"map": 0.3, "nested": {"p50_ms": [1.5, 2]}, "name": "ü"}
    sidecar_path(model).write_text(sidecar_text(DIGEST, measured), encoding="utf-8")

    assert read_sidecar(model, DIGEST) == measured


def test_none_is_none(model):
    assert read_sidecar(model, DIGEST) is None


def test_figures_of_another_file_are_an_error_by_name(model):
    sidecar_path(model).write_text(sidecar_text("cd" * 32, {"map": 0.9}))

    with pytest.raises(ModelError, match="another file") as caught:
        read_sidecar(model, DIGEST)

    assert "cdcdcdcdcdcd" in caught.value.problem
    assert "abababababab" in caught.value.problem
    assert "net.int8.onnx.edgecv.json" in caught.value.remedy


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"sha256": 1}', b"\xff\xfe", b"null"])
def test_a_damaged_one_is_named(model, content):
    sidecar_path(model).write_bytes(content)

    with pytest.raises(ModelError, match="can't be read") as caught:
        read_sidecar(model, DIGEST)

    assert str(sidecar_path(model)) in caught.value.problem
