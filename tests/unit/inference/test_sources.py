"""What arguments of detect name, and what is said of those that name nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from clips import picture, write_picture, write_video

from edgecv_cli.core.errors import DataError
from edgecv_cli.inference.sources import FrameSource, open_sources


def names(source: FrameSource) -> list[str]:
    return [path.name for path in source.paths]


def test_single_image(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a b.png")
    source = open_sources([str(path)])
    (frame,) = source
    assert (frame.source, frame.index, frame.timestamp, frame.video) == (str(path), 0, None, None)
    assert frame.image.shape == (30, 40, 3)
    assert (source.total, source.has_images, source.has_videos) == (1, True, False)


def test_folder_gives_images_and_videos_by_name(tmp_path: Path) -> None:
    for name in ("c.png", "a.jpg", ".hidden.png", "sub/x.png"):
        write_picture(tmp_path / name)
    write_video(tmp_path / "b.mp4", frames=3)
    (tmp_path / "notes.txt").write_text("no picture")
    source = open_sources([str(tmp_path)])
    assert names(source) == ["a.jpg", "b.mp4", "c.png"]
    assert source.total is None
    assert [frame.index for frame in source] == [0, 0, 1, 2, 0]
    assert source.skipped == []


def test_patterns_also_across_folders(tmp_path: Path) -> None:
    for name in ("b.png", "a.png", "deep/er/c.png", "d.jpg"):
        write_picture(tmp_path / name)
    assert names(open_sources([str(tmp_path / "*.png")])) == ["a.png", "b.png"]
    assert names(open_sources([str(tmp_path / "**" / "*.png")])) == ["a.png", "b.png", "c.png"]


def test_a_file_whose_name_looks_like_a_pattern(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a[1].png")
    assert names(open_sources([str(path)])) == ["a[1].png"]


def test_named_twice_is_read_once(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.png")
    write_picture(tmp_path / "b.png")
    source = open_sources([str(path), str(tmp_path), str(tmp_path / "*.png")])
    assert names(source) == ["a.png", "b.png"]


def test_video_is_told_by_its_content(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", frames=2).rename(tmp_path / "clip.bin")
    source = open_sources([str(path)])
    assert source.has_videos
    frames = list(source)
    assert [frame.index for frame in frames] == [0, 1]
    assert frames[0].video is not None
    assert frames[0].video.frame_rate == pytest.approx(12.5)


@pytest.mark.parametrize(
    ("argument", "problem", "remedy"),
    [
        ("phto.png", "does not exist", "photo.png"),
        ("none/photo.png", "does not exist", "none does not exist either"),
        ("zzzzzzzz", "does not exist", "name an image"),
        ("*.gif", "matches no image", "**"),
        ("empty", "holds no images or videos", "name a folder"),
    ],
)
def test_what_names_nothing(tmp_path: Path, argument: str, problem: str, remedy: str) -> None:
    write_picture(tmp_path / "photo.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError) as caught:
        open_sources([str(tmp_path / argument)])
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy


def test_no_argument() -> None:
    with pytest.raises(DataError, match="no source"):
        open_sources([])


def test_one_broken_image_among_good_ones(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    write_picture(tmp_path / "c.png")
    (tmp_path / "d.mp4").write_bytes(b"no video")
    source = open_sources([str(tmp_path)])
    assert [Path(frame.source).name for frame in source] == ["a.png", "c.png"]
    assert [Path(entry.source).name for entry in source.skipped] == ["b.png", "d.mp4"]
    assert "b.png can't be decoded" in source.skipped[0].problem


def test_nothing_decodable(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"no image")
    with pytest.raises(DataError, match=r"none of the 2 files.*a\.png"):
        list(open_sources([str(tmp_path)]))
    with pytest.raises(DataError, match=r"^image .*a\.png can't be decoded"):
        list(open_sources([str(tmp_path / "a.png")]))


def test_unreadable_file_is_skipped(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png" / "no")
    write_picture(tmp_path / "c.png")
    source = open_sources([str(tmp_path / "a.png"), str(tmp_path / "c.png")])
    (tmp_path / "a.png").unlink()
    assert len(list(source)) == 1
    assert "a.png is not there" in source.skipped[0].problem


def test_a_video_that_ends_early_is_used_and_named(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", frames=40, size=(320, 240))
    os.truncate(path, path.stat().st_size // 2)
    source = open_sources([str(path)])
    frames = list(source)
    assert 0 < len(frames) < 36
    assert f"ends after {len(frames)} of about 40 frames" in source.skipped[0].problem


def test_limit_counts_frames_and_reads_no_further(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", frames=5)
    (tmp_path / "b.png").write_bytes(b"no image")
    source = open_sources([str(tmp_path)], limit=5)
    assert source.total == 5
    assert len(list(source)) == 5
    assert source.skipped == []


def test_limit_above_what_there_is(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    assert open_sources([str(tmp_path)], limit=9).total == 1


def test_numbered_pictures_are_a_video_by_their_numbers(tmp_path: Path) -> None:
    for number in (10, 9, 1):
        write_picture(tmp_path / f"f{number:03d}.png", picture(shade=number))
    write_picture(tmp_path / "g001.png")
    (tmp_path / "f011.png").write_bytes(b"broken")
    name = str(tmp_path / "f%03d.png")
    source = open_sources([name], rate=10)
    frames = list(source)
    assert [int(one.image[0, 0, 1]) for one in frames] == [1, 9, 10]
    assert [(one.source, one.index, one.timestamp) for one in frames] == [
        (name, 0, 0.0), (name, 1, 0.1), (name, 2, 0.2)
    ]  # fmt: skip
    assert (source.has_videos, source.has_images, len(source.paths)) == (True, False, 4)
    assert [Path(one.source).name for one in source.skipped] == ["f011.png"]


@pytest.mark.parametrize(
    ("name", "problem"), [("x%d.png", "no file is called like"), ("%d_%d.png", "several numbers")]
)
def test_a_sequence_that_is_none(tmp_path: Path, name: str, problem: str) -> None:
    write_picture(tmp_path / "f1.png")
    with pytest.raises(DataError, match=problem):
        open_sources([str(tmp_path / name)])
