"""Reading models: what is refused, what counts as the same content, same bytes every time."""

from __future__ import annotations

import os
from pathlib import Path

import models
import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from edgecv_cli.core.errors import ModelError
from edgecv_cli.graph.io import (
    content_digest,
    load_model,
    read_metadata,
    serialize,
    with_metadata,
)


@pytest.fixture(scope="module")
def plain() -> onnx.ModelProto:
    return models.yolov8(metadata={"names": "{0: 'a', 1: 'b', 2: 'c'}"})


def stored(model: onnx.ModelProto, folder: Path, name: str = "m.onnx") -> Path:
    path = folder / name
    path.write_bytes(model.SerializeToString())
    return path


def with_external(model: onnx.ModelProto, folder: Path, data: str = "weights.bin") -> Path:
    """Save with every tensor in a data file beside the model."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    path = folder / "m.onnx"
    onnx.save_model(copy, str(path), save_as_external_data=True, location=data, size_threshold=0)
    return path


def point_to(path: Path, **entries: str) -> None:
    """Change where the first external tensor of a saved model points."""
    model = onnx.load(str(path), load_external_data=False)
    tensor = next(
        part for part in model.graph.initializer if part.data_location == TensorProto.EXTERNAL
    )
    for entry in tensor.external_data:
        if entry.key in entries:
            entry.value = entries.pop(entry.key)
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())


def problem(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(path)
    assert caught.value.remedy
    return caught.value.problem


def test_a_model_loads_as_it_was_saved(plain, tmp_path):
    assert load_model(stored(plain, tmp_path)) == plain


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\x00", "not an ONNX"),
        (b"PK\x03\x04 a zip", "not an ONNX"),
        (b"\xff" * 4096, "not an ONNX"),
        (b"{'json': true}", "not an ONNX"),
        (onnx.ModelProto(ir_version=8).SerializeToString(), "no graph"),
    ],
)
def test_what_is_no_model_is_named(content, words, tmp_path):
    path = tmp_path / "häßlich name.onnx"
    path.write_bytes(content)

    said = problem(path)

    assert words in said
    assert str(path) in said


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    assert "does not exist" in problem(tmp_path / "nothing.onnx")
    assert "folder" in problem(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(plain, tmp_path):
    path = stored(plain, tmp_path)
    path.chmod(0)

    assert "Permission denied" in problem(path)


def test_a_model_cut_short_anywhere_is_refused(plain, tmp_path):
    data = plain.SerializeToString()
    path = tmp_path / "cut.onnx"

    for end in np.linspace(1, len(data) - 1, 60, dtype=int):
        path.write_bytes(data[:end])
        assert str(path) in problem(path)


@pytest.mark.parametrize("dims", [[2**40], [8, 3, 3, 4], [8, 3, 3, 2], [-8, 3, 3, 3], []])
def test_a_tensor_must_hold_what_its_shape_claims(plain, dims, tmp_path):
    model = onnx.ModelProto()
    model.CopyFrom(plain)
    tensor = model.graph.initializer[0]
    assert list(tensor.dims) == [8, 3, 3, 3]
    del tensor.dims[:]
    tensor.dims.extend(dims)

    assert tensor.name in problem(stored(model, tmp_path))


def test_a_tensor_in_a_constant_node_is_checked_too(plain, tmp_path):
    model = onnx.ModelProto()
    model.CopyFrom(plain)
    value = numpy_helper.from_array(np.zeros(4, np.float32), "liar")
    value.dims[0] = 2**50
    node = onnx.helper.make_node("Constant", [], ["unused"], value=value)
    model.graph.node.insert(0, node)

    assert "liar" in problem(stored(model, tmp_path))


def test_external_data_beside_the_model_loads(plain, tmp_path):
    loaded = load_model(with_external(plain, tmp_path))

    assert loaded == load_model(stored(plain, tmp_path, "inside.onnx"))


def test_external_data_in_a_folder_below_loads(plain, tmp_path):
    (tmp_path / "data").mkdir()
    path = with_external(plain, tmp_path, "data/weights.bin")

    assert content_digest(load_model(path)) == content_digest(plain)


def test_a_relative_path_finds_its_external_data(plain, tmp_path, monkeypatch):
    with_external(plain, tmp_path)
    monkeypatch.chdir(tmp_path)

    assert content_digest(load_model(Path("m.onnx"))) == content_digest(plain)


def test_missing_external_data_is_named(plain, tmp_path):
    path = with_external(plain, tmp_path)
    (tmp_path / "weights.bin").unlink()

    assert "'weights.bin' of tensor" in problem(path)


@pytest.mark.parametrize(
    "location", ["../secret.bin", "/etc/passwd", "data/../../secret.bin", "", "..", ".", "a\0b"]
)
def test_external_data_outside_the_folder_is_refused(plain, location, tmp_path):
    inner = tmp_path / "inner"
    (inner / "data").mkdir(parents=True)
    (tmp_path / "secret.bin").write_bytes(b"\x00" * 10_000)
    path = with_external(plain, inner)
    point_to(path, location=location)

    said = problem(path)

    assert "outside" in said or "missing" in said


@pytest.mark.parametrize("what", ["file", "folder"])
def test_external_data_behind_a_symbolic_link_is_refused(plain, what, tmp_path):
    inner, secret = tmp_path / "inner", tmp_path / "secret"
    inner.mkdir()
    secret.mkdir()
    path = with_external(plain, inner)
    (inner / "weights.bin").rename(secret / "weights.bin")
    if what == "file":
        (inner / "weights.bin").symlink_to(secret / "weights.bin")
    else:
        (inner / "data").symlink_to(secret, target_is_directory=True)
        point_to(path, location="data/weights.bin")

    assert "symbolic link" in problem(path)


def test_a_model_that_is_itself_a_link_may_have_external_data(plain, tmp_path):
    (tmp_path / "real").mkdir()
    with_external(plain, tmp_path / "real")
    linked = tmp_path / "linked"
    linked.symlink_to(tmp_path / "real", target_is_directory=True)

    assert content_digest(load_model(linked / "m.onnx")) == content_digest(plain)


@pytest.mark.parametrize("kept", [0, 1, 100])
def test_external_data_that_is_too_short_is_refused(plain, kept, tmp_path):
    path = with_external(plain, tmp_path)
    os.truncate(tmp_path / "weights.bin", kept)

    assert f"which holds {kept}" in problem(path)


@pytest.mark.parametrize(
    "entries",
    [
        {"offset": "-1"},
        {"offset": "99999999999"},
        {"length": "-5"},
        {"length": "3"},
        {"length": "99999999999999999999999"},
        {"offset": "many"},
        {"length": ""},
    ],
)
def test_external_ranges_that_cannot_be_are_refused(plain, entries, tmp_path):
    path = with_external(plain, tmp_path)
    point_to(path, **entries)

    assert "tensor" in problem(path)


def test_many_headers_naming_one_file_allocate_nothing(plain, tmp_path):
    path = with_external(plain, tmp_path)
    size = 64 * 1024**2
    with (tmp_path / "weights.bin").open("r+b") as file:
        file.truncate(size)  # a hole: it takes no disk
    model = onnx.load(str(path), load_external_data=False)
    for index in range(40):
        tensor = model.graph.initializer.add(
            name=f"copy_{index}", data_type=TensorProto.UINT8, dims=[size]
        )
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="weights.bin")
    path.write_bytes(model.SerializeToString())

    assert "more than edgecv reads" in problem(path)


def test_an_invalid_graph_is_refused_by_its_reason(plain, tmp_path):
    model = onnx.ModelProto()
    model.CopyFrom(plain)
    model.graph.node[0].op_type = "Nonsense"

    assert "Nonsense" in problem(stored(model, tmp_path))


def test_content_is_the_same_with_other_edgecv_metadata(plain):
    marked = with_metadata(plain, {"edgecv.spec": "{}", "edgecv.lineage": "[]"})

    assert content_digest(marked) == content_digest(plain)
    assert content_digest(with_metadata(plain, {"names": "x"})) != content_digest(plain)


def test_content_does_not_depend_on_the_order_of_metadata(plain):
    turned = onnx.ModelProto()
    turned.CopyFrom(with_metadata(plain, {"author": "me"}))
    entries = list(turned.metadata_props)[::-1]
    del turned.metadata_props[:]
    turned.metadata_props.extend(entries)

    assert content_digest(turned) == content_digest(with_metadata(plain, {"author": "me"}))


def test_content_is_the_same_with_weights_outside(plain, tmp_path):
    outside = content_digest(load_model(with_external(plain, tmp_path)))

    assert outside == content_digest(load_model(stored(plain, tmp_path, "inside.onnx")))


def test_content_changes_with_one_weight(plain):
    changed = onnx.ModelProto()
    changed.CopyFrom(plain)
    tensor = changed.graph.initializer[0]
    values = numpy_helper.to_array(tensor).copy()
    values.ravel()[0] = np.nextafter(values.ravel()[0], np.float32(np.inf))
    tensor.raw_data = values.tobytes()

    assert content_digest(changed) != content_digest(plain)


def test_metadata_is_merged_into_a_copy(plain):
    before = read_metadata(plain)
    marked = with_metadata(plain, {"edgecv.spec": "1", "names": "other"})

    assert read_metadata(plain) == before
    assert read_metadata(marked) == {**before, "edgecv.spec": "1", "names": "other"}
    assert [entry.key for entry in marked.metadata_props] == sorted(read_metadata(marked))


def test_the_same_model_is_the_same_bytes(plain):
    again = onnx.ModelProto()
    again.ParseFromString(serialize(plain))

    assert serialize(again) == serialize(plain)
    assert serialize(models.yolov8(seed=1)) == serialize(models.yolov8(seed=1))


def test_weights_that_are_no_numbers_are_refused_and_infinity_is_not(tmp_path):
    model = models.yolov8()
    kernel = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
    values = numpy_helper.to_array(kernel).copy()
    path = tmp_path / "model.onnx"

    values.flat[3] = np.inf
    kernel.CopyFrom(numpy_helper.from_array(values, kernel.name))
    path.write_bytes(model.SerializeToString())
    load_model(path)

    values.flat[3] = np.nan
    kernel.CopyFrom(numpy_helper.from_array(values, kernel.name))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=f"'{kernel.name}' holds 1 values that are not a number"):
        load_model(path)


def test_a_cycle_is_refused_in_one_whole_sentence(tmp_path: Path) -> None:
    value = onnx.helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    nodes = [
        onnx.helper.make_node("Relu", ["y"], ["a"]),
        onnx.helper.make_node("Relu", ["a"], ["y"]),
    ]
    cyclic = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [], [value]))
    with pytest.raises(ModelError, match=r"topologically sorted.*not output of any previous nodes"):
        load_model(stored(cyclic, tmp_path))
