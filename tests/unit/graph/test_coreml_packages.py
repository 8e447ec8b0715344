"""Core ML packages as hostile input, and every form in which weights are stored."""

from __future__ import annotations

import json

import core_packages
import numpy as np
import pytest

from edgecv_cli.core.errors import ModelError
from edgecv_cli.graph.coreml_facts import read_coreml
from edgecv_cli.graph.coreml_package import package_digest, read_package
from edgecv_cli.graph.coreml_weights import Weights, nearest

WANTED = np.random.default_rng(0).normal(0, 1, (4, 3, 3, 3)).astype(np.float32)


def stored_as(folder, fill):
    """A package with one convolution whose weights ``fill`` writes."""
    model, block = core_packages.program()
    blob = core_packages.Blob()
    fill(block, blob)
    core_packages.layer(block, "out", "w")
    return core_packages.write(folder / "p.mlpackage", model, blob)


def constexpr(block, kind):
    op = block.operations.add(type=kind)
    core_packages.typed(op.outputs.add(name="w").type, WANTED.shape, "float16")
    return op


def halves(block, blob):
    core_packages.const(block, "w", WANTED.astype(np.float16), blob)


def inside(block, _blob):
    core_packages.const(block, "w", WANTED)


def affine(block, blob):
    op = constexpr(block, "constexpr_affine_dequantize")
    scale = np.abs(WANTED).max(axis=(1, 2, 3)) / 127
    data = np.rint(WANTED / scale.reshape(-1, 1, 1, 1)).astype(np.int8)
    core_packages.attribute(op, "quantized_data", data, blob)
    core_packages.attribute(op, "scale", scale.astype(np.float32))
    core_packages.attribute(op, "zero_point", np.zeros(4, np.int8))
    core_packages.attribute(op, "axis", np.asarray(0, np.int32))


def palette(block, blob):
    op = constexpr(block, "constexpr_lut_to_dense")
    table = np.linspace(-3, 3, 64, dtype=np.float32)
    places = np.abs(WANTED.reshape(-1, 1) - table).argmin(axis=1)
    bits = ((places[:, None] >> np.arange(6)) & 1).astype(np.uint8)
    core_packages.attribute(op, "indices", np.packbits(bits.ravel(), bitorder="little"), blob)
    core_packages.attribute(op, "lut", table)
    core_packages.attribute(op, "shape", np.asarray(WANTED.shape, np.int32))


def blockwise(block, blob):
    op = constexpr(block, "constexpr_blockwise_shift_scale")
    scale = np.abs(WANTED).max(axis=(1, 2, 3), keepdims=True) / 127
    data = np.rint(WANTED / scale).astype(np.int8)
    core_packages.const(block, "data", data, blob)
    core_packages.const(block, "scale", scale.astype(np.float16), blob)
    for key in ("data", "scale"):
        op.inputs.add(key=key).value.arguments.add(name=key)


@pytest.mark.parametrize(
    ("fill", "stored", "away"),
    [
        (halves, {"float16": 108}, 1e-3),
        (inside, {"float32": 108}, 1e-7),
        (affine, {"int8": 108}, 0.02),
        (palette, {"6 bit": 108}, 0.05),
        (blockwise, {"int8": 108}, 0.02),
    ],
)
def test_weights_are_read_as_what_they_stand_for(tmp_path, fill, stored, away):
    path = stored_as(tmp_path, fill)
    weights = Weights(read_package(path))
    assert weights.elements() == stored
    place, found = nearest(WANTED, weights.layers())
    assert place == 0
    assert found <= away


def test_a_transposed_matrix_is_found_and_another_is_far_off():
    rng = np.random.default_rng(1)
    wanted, other = rng.normal(size=(2, 5, 7))
    assert nearest(wanted, [other, wanted.T]) == (1, 0.0)
    assert nearest(wanted, [other])[1] > 1
    assert nearest(wanted, [wanted.ravel()]) is None


@pytest.mark.parametrize(
    "told",
    [
        "not json",
        "{}",
        "[1]",
        '{"rootModelIdentifier": "A", "itemInfoEntries": {"A": {"path": "../../../etc/passwd"}}}',
        '{"rootModelIdentifier": "A", "itemInfoEntries": {"A": {"path": "/etc/passwd"}}}',
        '{"rootModelIdentifier": "A", "itemInfoEntries": {"A": {"path": "absent"}}}',
        "[" * 100_000,
    ],
)
def test_a_manifest_that_lies_is_refused(tmp_path, told):
    path = stored_as(tmp_path, halves)
    (path / "Manifest.json").write_text(told)
    with pytest.raises(ModelError, match="is no Core ML package"):
        read_package(path)


def test_a_link_out_of_the_package_is_refused(tmp_path):
    path = stored_as(tmp_path, halves)
    blob = path / "Data/com.apple.CoreML/weights/weight.bin"
    blob.rename(tmp_path / "elsewhere")
    blob.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="leads out of the package"):
        read_package(path)


@pytest.mark.parametrize("cut", [0, 4, 64, 100, 200])
def test_weights_that_are_cut_short_are_refused(tmp_path, cut):
    path = stored_as(tmp_path, halves)
    blob = path / "Data/com.apple.CoreML/weights/weight.bin"
    blob.write_bytes(blob.read_bytes()[:cut])
    with pytest.raises(ModelError, match="can't be read"):
        Weights(read_package(path)).layers()


@pytest.mark.parametrize("damage", [b"", b"\x0a", b"\xff" * 64, b"PK\x03\x04"])
def test_a_model_that_is_none_is_refused(tmp_path, damage):
    path = stored_as(tmp_path, halves)
    (path / "Data/com.apple.CoreML/model.mlmodel").write_bytes(damage)
    with pytest.raises(ModelError, match="is no Core ML package"):
        read_coreml(path)


def test_an_interface_that_is_not_the_packages_is_refused(tmp_path):
    model, block = core_packages.program()
    blob = core_packages.Blob()
    halves(block, blob)
    port = {"name": "x", "shape": [1, 3, 8, 8], "dtype": "float32", "feature": "absent"}
    text = json.dumps({"inputs": [port], "outputs": []})
    model.description.metadata.userDefined.add(key="edgecv.interface", value=text)
    path = core_packages.write(tmp_path / "p.mlpackage", model, blob)
    with pytest.raises(ModelError, match="interface is damaged"):
        read_coreml(path)


def test_the_digest_hangs_on_every_file_and_its_name(tmp_path):
    path = stored_as(tmp_path, halves)
    first = package_digest(path)
    (path / "Data/more").write_bytes(b"")
    second = package_digest(path)
    (path / "Data/more").rename(path / "Data/other")
    assert len({first, second, package_digest(path)}) == 3
