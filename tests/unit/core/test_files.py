"""Publication: what is refused before the work, and what stands after it."""

import errno
import hashlib
import os
from pathlib import Path

import pytest

from edgecv_cli.core.errors import OutputError, OutputExistsError
from edgecv_cli.core.files import Publication, Published, sha256_file, writing


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def publish(target, content=b"new", **options):
    with Publication(target, **options) as out:
        out.main.write_bytes(content)
        return out.commit()


@pytest.mark.parametrize("name", ["model.onnx", "ein Modell – größer.onnx", "x" * 240 + ".onnx"])
def test_a_file_is_published_with_its_digest(tmp_path, name):
    (published,) = publish(tmp_path / name, b"content")
    assert published == Published(tmp_path / name, 7, hashlib.sha256(b"content").hexdigest())
    assert (tmp_path / name).read_bytes() == b"content"
    assert names(tmp_path) == [name]


def test_a_relative_target_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    publish(Path("model.onnx"))
    assert names(tmp_path) == ["model.onnx"]


def test_nothing_shows_before_the_commit(tmp_path):
    with Publication(tmp_path / "model.onnx") as out:
        out.main.write_bytes(b"x")
        assert not (tmp_path / "model.onnx").exists()
        out.commit()
    assert (tmp_path / "model.onnx").exists()


def test_leaving_without_a_commit_removes_everything(tmp_path):
    with Publication(tmp_path / "model.onnx") as out:
        out.main.write_bytes(b"x")
        out.part("model.json").write_bytes(b"x")
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
def test_an_exception_removes_everything_and_passes(tmp_path, error):
    def fail():
        with Publication(tmp_path / "model.onnx") as out:
            out.main.write_bytes(b"x")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert names(tmp_path) == []


def test_a_commit_without_a_file_is_a_bug_by_name(tmp_path):
    with Publication(tmp_path / "model.onnx") as out, pytest.raises(RuntimeError, match="model"):
        out.commit()


def test_outside_its_block_it_gives_no_path(tmp_path):
    with pytest.raises(RuntimeError, match="with block"):
        _ = Publication(tmp_path / "model.onnx").main


def test_parts_come_first_as_they_were_asked_for_and_the_main_file_last(tmp_path):
    with Publication(tmp_path / "b.xml") as out:
        out.main.write_text("main")
        out.part("z.bin").write_text("weights")
        out.part("a.json").write_text("{}")
        published = out.commit()
    assert [entry.path.name for entry in published] == ["z.bin", "a.json", "b.xml"]
    assert names(tmp_path) == ["a.json", "b.xml", "z.bin"]


@pytest.mark.parametrize("name", ["../up", "a/b", "/abs", "", "model.onnx", ".."])
def test_a_part_has_a_plain_name_of_its_own(tmp_path, name):
    with Publication(tmp_path / "model.onnx") as out, pytest.raises(ValueError, match="no name"):
        out.part(name)


def test_an_existing_target_needs_force(tmp_path):
    target = tmp_path / "model.onnx"
    target.write_text("old")
    with pytest.raises(OutputExistsError) as caught:
        Publication(target)
    assert "--force" in caught.value.remedy
    assert str(target) in caught.value.problem
    publish(target, b"new", force=True)
    assert target.read_bytes() == b"new"


def test_an_existing_part_needs_force(tmp_path):
    (tmp_path / "model.json").write_text("old")
    with Publication(tmp_path / "model.onnx") as out, pytest.raises(OutputExistsError):
        out.part("model.json")
    with Publication(tmp_path / "model.onnx", force=True) as out:
        out.part("model.json").write_text("new")
        out.main.write_text("main")
        out.commit()
    assert (tmp_path / "model.json").read_text() == "new"


def test_force_never_overwrites_an_input(tmp_path):
    model = tmp_path / "model.onnx"
    model.write_text("precious")
    (tmp_path / "link.onnx").symlink_to(model)
    os.link(model, tmp_path / "hard.onnx")
    for name in ("model.onnx", "link.onnx", "hard.onnx", "../" + tmp_path.name + "/model.onnx"):
        with pytest.raises(OutputExistsError, match="is the input"):
            Publication(tmp_path / name, force=True, inputs=[model])
    with (
        Publication(tmp_path / "new.onnx", force=True, inputs=[model]) as out,
        pytest.raises(OutputExistsError, match="is the input"),
    ):
        out.part("model.onnx")
    assert model.read_text() == "precious"


def test_an_output_that_contains_an_input_is_refused(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.png").write_text("")
    with pytest.raises(OutputExistsError, match="contains the input"):
        Publication(tmp_path / "data", force=True, inputs=[tmp_path / "data" / "a.png"])


def test_a_missing_parent_is_named_with_the_way_to_make_it(tmp_path):
    with pytest.raises(OutputError) as caught:
        Publication(tmp_path / "no such" / "model.onnx")
    assert f"{tmp_path / 'no such'} does not exist" in caught.value.problem
    assert f"mkdir -p '{tmp_path / 'no such'}'" in caught.value.remedy


def test_a_parent_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is no folder"):
        Publication(tmp_path / "file" / "model.onnx")


@pytest.mark.parametrize("target", ["/dev/null", "/", "..", "."])
def test_what_can_be_no_output_is_refused_even_with_force(target):
    with (
        pytest.raises((OutputError, OutputExistsError)),
        Publication(Path(target), force=True) as out,
    ):
        _ = out.main


def test_a_link_is_replaced_not_followed(tmp_path):
    (tmp_path / "real").write_text("precious")
    (tmp_path / "link").symlink_to("real")
    publish(tmp_path / "link", b"new", force=True)
    assert (tmp_path / "real").read_text() == "precious"
    assert (tmp_path / "link").read_bytes() == b"new"


def test_a_folder_appears_whole(tmp_path):
    with Publication(tmp_path / "out") as out:
        (out.folder() / "sub").mkdir()
        (out.folder() / "sub" / "a.txt").write_text("a")
        (out.folder() / "b.txt").write_text("b")
        assert not (tmp_path / "out").exists()
        published = out.commit()
    assert [entry.path for entry in published] == [
        tmp_path / "out" / "b.txt",
        tmp_path / "out" / "sub" / "a.txt",
    ]
    assert names(tmp_path) == ["out", "out/b.txt", "out/sub", "out/sub/a.txt"]


def test_an_empty_folder_is_no_obstacle_but_a_full_one_is(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    with Publication(target) as out:
        (out.folder() / "a.txt").write_text("a")
        out.commit()
    assert names(target) == ["a.txt"]
    with pytest.raises(OutputExistsError):
        Publication(target)


def test_force_replaces_files_of_a_folder_and_leaves_the_others(tmp_path):
    target = tmp_path / "out"
    (target / "sub").mkdir(parents=True)
    (target / "precious.txt").write_text("precious")
    (target / "sub" / "a.txt").write_text("old")
    with Publication(target, force=True) as out:
        (out.folder() / "sub").mkdir()
        (out.folder() / "sub" / "a.txt").write_text("new")
        out.commit()
    assert names(target) == ["precious.txt", "sub", "sub/a.txt"]
    assert (target / "sub" / "a.txt").read_text() == "new"
    assert (target / "precious.txt").read_text() == "precious"


def test_a_file_where_a_folder_stands_says_to_name_a_file(tmp_path):
    (tmp_path / "out").mkdir()
    with Publication(tmp_path / "out") as out, pytest.raises(OutputExistsError, match="a folder"):
        _ = out.main


@pytest.mark.parametrize(
    ("number", "words", "remedy"),
    [
        (errno.ENOSPC, "No space left on device", "free some space"),
        (errno.EACCES, "Permission denied", "may write to"),
        (errno.EROFS, "Read-only file system", "can be written to"),
        (errno.EDQUOT, "quota", "quota"),
    ],
)
def test_the_systems_refusal_becomes_words(tmp_path, number, words, remedy):
    with pytest.raises(OutputError) as caught, writing(tmp_path / "model.onnx"):
        raise OSError(number, os.strerror(number))
    assert words in caught.value.problem
    assert str(tmp_path / "model.onnx") in caught.value.problem
    assert remedy in caught.value.remedy


def test_other_errors_pass_through_writing(tmp_path):
    with pytest.raises(ValueError, match="mine"), writing(tmp_path):
        raise ValueError("mine")


def test_permissions_are_those_of_a_plain_file(tmp_path):
    publish(tmp_path / "model.onnx")
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "model.onnx").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_sha256_file(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_file(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
