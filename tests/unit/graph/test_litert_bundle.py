"""What edgecv appends to a .tflite file, and archives that are hostile."""

from __future__ import annotations

import zipfile

import lite_files
import pytest

from edgecv_cli.core.errors import ModelError
from edgecv_cli.graph.litert_bundle import (
    BUNDLE,
    DECODE,
    Bundle,
    Port,
    Result,
    bundle_digest,
    read_bundle,
    read_decode,
    write_bundle,
)
from edgecv_cli.graph.tflite import read_tflite


def bundle(**metadata):
    return Bundle(
        metadata=metadata,
        inputs=(Port(name="x", shape=(1, 3, 8, 4), position=0, order=(0, 3, 1, 2)),),
        heads=(Port(name="h", shape=(1, 8), position=0, order=(0, 1)),),
        outputs=(Result(name="y", shape=(1, 8)),),
    )


@pytest.fixture
def plain(tmp_path):
    tensors = [lite_files.Tensor("x", (1, 8, 4, 3)), lite_files.Tensor("h", (1, 8))]
    operator = lite_files.Operator(lite_files.CONV_2D, [0], [1])
    return lite_files.File(tensors, [operator], [0], [1]).write(tmp_path / "plain.tflite")


def test_what_was_written_is_read_and_the_model_is_as_it_was(plain, tmp_path):
    path = tmp_path / "whole.tflite"
    write_bundle(plain, path, bundle(a="b"), b"graph", ("red", "green"))

    assert read_bundle(path) == bundle(a="b")
    assert read_decode(path) == b"graph"
    assert path.read_bytes().startswith(plain.read_bytes())
    assert read_tflite(path) == read_tflite(plain)
    with zipfile.ZipFile(path) as archive:
        assert archive.read("labels.txt") == b"red\ngreen\n"


def test_the_same_input_gives_the_same_bytes(plain, tmp_path):
    for name in ("a", "b"):
        write_bundle(plain, tmp_path / name, bundle(a="b"), b"graph", ())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_another_tools_file_has_none(plain):
    assert read_bundle(plain) is None
    assert read_decode(plain) is None
    assert bundle_digest(plain)


def test_the_digest_is_of_content_not_of_our_metadata(plain, tmp_path):
    def digest(name, metadata, decode=b"graph"):
        write_bundle(plain, tmp_path / name, bundle(**metadata), decode, ())
        return bundle_digest(tmp_path / name)

    first = digest("a", {"edgecv.lineage": "one", "author": "me"})
    assert digest("b", {"edgecv.lineage": "two", "author": "me"}) == first
    assert digest("c", {"author": "you"}) != first
    assert digest("d", {"author": "me"}, b"other") != first


@pytest.mark.parametrize(
    ("content", "compression"),
    [
        (b"{", zipfile.ZIP_STORED),
        (b"{}", zipfile.ZIP_STORED),
        (b" " * 100_000, zipfile.ZIP_DEFLATED),
    ],
)
def test_a_damaged_or_packed_bundle_is_refused(plain, content, compression):
    with zipfile.ZipFile(plain, "a", compression) as archive:
        archive.writestr(BUNDLE, content)

    with pytest.raises(ModelError, match=r"plain\.tflite"):
        read_bundle(plain)


def test_very_many_files_are_refused(plain):
    with zipfile.ZipFile(plain, "a") as archive:
        for index in range(100):
            archive.writestr(f"{index}", b"")
    with pytest.raises(ModelError, match="100 files"):
        read_decode(plain)


def test_an_archive_whose_sizes_lie_is_refused(plain):
    with zipfile.ZipFile(plain, "a") as archive:
        archive.writestr(DECODE, b"graph" * 100)
    content = bytearray(plain.read_bytes())
    place = content.rindex(b"PK\x01\x02")
    content[place + 42 : place + 46] = (2**31).to_bytes(4, "little")  # where the entry begins
    plain.write_bytes(content)

    with pytest.raises(ModelError, match="damaged"):
        read_decode(plain)
