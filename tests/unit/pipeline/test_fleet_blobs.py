"""Files on a device by their hash: whole or not there, and never outside of their folder."""

from __future__ import annotations

import hashlib
import os
import shutil

import pytest
from pydantic import ValidationError

from edgecv_cli.core.errors import DataError, OutputError
from edgecv_cli.pipeline.fleet.blobs import Blobs
from edgecv_cli.pipeline.fleet.job import FileRef, Job, Parcel


def digest_of(content):
    return hashlib.sha256(content).hexdigest()


def put(blobs, content, digest=None):
    with blobs.receive(digest or digest_of(content), len(content)) as incoming:
        for start in range(0, len(content), 7):
            incoming.write(content[start : start + 7])
        incoming.commit()


def ref(content, name="model.onnx"):
    return FileRef(name=name, sha256=digest_of(content), size_bytes=len(content))


@pytest.fixture
def blobs(tmp_path):
    return Blobs(tmp_path / "files")


def names(blobs):
    return {path.name for path in blobs.root.iterdir() if path.is_file()} - {".lock"}


@pytest.mark.parametrize("content", [b"", b"weights" * 100])
def test_what_was_sent_is_there(blobs, content, tmp_path):
    assert not blobs.has(digest_of(content))
    put(blobs, content)

    assert blobs.has(digest_of(content))
    assert blobs.lay_out(tmp_path / "job", (ref(content),)).read_bytes() == content
    assert names(blobs) == {digest_of(content)}


def test_what_is_damaged_on_its_way_is_not_kept(blobs):
    with pytest.raises(DataError, match="damaged"):
        put(blobs, b"other", digest_of(b"weights"))
    assert names(blobs) == set()


def test_what_stops_half_way_leaves_nothing(blobs):
    with blobs.receive(digest_of(b"weights"), 7) as incoming:
        incoming.write(b"wei")
    with blobs.receive(digest_of(b"weights"), 7) as incoming:
        incoming.write(b"wei")
        with pytest.raises(DataError, match="damaged"):
            incoming.commit()
    assert names(blobs) == set()


def test_more_than_announced_is_refused(blobs):
    with pytest.raises(DataError, match="announced"), blobs.receive("0" * 64, 3) as incoming:
        incoming.write(b"four")
    assert names(blobs) == set()


def test_a_file_that_went_bad_on_the_disk_is_sent_again(blobs):
    put(blobs, b"weights")
    (blobs.root / digest_of(b"weights")).write_bytes(b"weightz")

    assert not blobs.has(digest_of(b"weights"))
    put(blobs, b"weights")
    assert blobs.has(digest_of(b"weights"))


def test_what_was_used_longest_ago_goes_first(tmp_path):
    blobs = Blobs(tmp_path / "files", max_bytes=25)
    contents = [bytes([n]) * 10 for n in range(3)]
    for age, content in zip((30, 20), contents, strict=False):
        put(blobs, content)
        os.utime(blobs.root / digest_of(content), (1e9 - age, 1e9 - age))
    assert blobs.has(digest_of(contents[0]))  # used just now
    put(blobs, contents[2])

    assert names(blobs) == {digest_of(contents[0]), digest_of(contents[2])}


def test_a_full_disk_is_told_before_anything_is_sent(blobs, monkeypatch):
    usage = shutil.disk_usage(blobs.root)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10**6))
    with pytest.raises(OutputError, match=r"no room in .*1000000 are free"):
        blobs.receive("0" * 64, 2_000_000)
    with pytest.raises(OutputError, match="more than a device takes"):
        blobs.receive("0" * 64, 2**60)


@pytest.mark.parametrize("digest", ["", "../x", "0" * 63, "0" * 65, "A" * 64, "0" * 64 + "\n"])
def test_a_digest_is_no_path(blobs, digest):
    with pytest.raises(DataError, match="no sha256"):
        blobs.receive(digest, 1)
    with pytest.raises(DataError, match="no sha256"):
        blobs.has(digest)


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../x", "a/../../x", "a\0b", ".", "x" * 201, "a/\ud800"]
)
def test_a_name_stays_inside_of_the_job(name):
    with pytest.raises(ValidationError):
        FileRef(name=name, sha256="0" * 64, size_bytes=1)


def test_weights_beside_a_model_are_files_of_their_own(blobs, tmp_path):
    model, weights = b"model", b"weights"
    put(blobs, model)
    put(blobs, weights)
    files = (ref(model), ref(weights, "data/weights.bin"))
    main = blobs.lay_out(tmp_path / "job", files, link=False)

    beside = main.parent / "data" / "weights.bin"
    assert (main.read_bytes(), beside.read_bytes()) == (model, weights)
    assert beside.stat().st_nlink == 1  # readers refuse weights with a second name


def test_a_file_that_was_swept_meanwhile_is_told(blobs, tmp_path):
    with pytest.raises(DataError, match="not on this device"):
        blobs.lay_out(tmp_path / "job", (ref(b"gone"),))


def test_a_job_counts_each_content_once():
    one, two = ref(b"same", "a.onnx"), ref(b"same", "b.onnx")
    parcels = [Parcel(field="models", shown=file.name, files=(file,)) for file in (one, two)]
    assert Job(function="benchmark", arguments={}, parcels=parcels).files == {one.sha256: 4}
