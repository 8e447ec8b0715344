"""Sinks for machines: JSON lines, COCO results, CSV, YOLO text."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.files import writing
from edgecv_cli.inference.frames import FrameResult, PlainSink
from edgecv_cli.inference.naming import FileNames, frame_stem

Emit = Callable[[dict[str, Any]], None]


class JsonLinesSink(PlainSink):
    """One object a frame, and ``{"summary": ...}`` last, as the command contract has it."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit

    def write(self, result: FrameResult) -> None:
        """Emit one frame."""
        self._emit(frame_record(result))

    def finish(self, summary: Mapping[str, Any], /) -> None:
        """Emit the summary."""
        self._emit({"summary": dict(summary)})


class JsonFileSink(PlainSink):
    """JSON lines in ``detections.jsonl``."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "detections.jsonl"
        self._file = _open_text(self._path)
        self._lines = JsonLinesSink(self._emit)

    def write(self, result: FrameResult) -> None:
        """Append one line.

        Raises:
            OutputError: it can't be written.
        """
        self._lines.write(result)

    def finish(self, summary: Mapping[str, Any], /) -> None:
        """Append the summary and complete the file.

        Raises:
            OutputError: it can't be written.
        """
        self._lines.finish(summary)
        with writing(Path(self._path.name)):
            self._file.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _emit(self, record: dict[str, Any]) -> None:
        with writing(Path(self._path.name)):
            self._file.write(json.dumps(record, allow_nan=False) + "\n")


class CocoSink(PlainSink):
    """COCO's results format in ``coco.json``; ``coco_images.json`` says which image is which.

    The image id is the file's name where every image's name is a number of its own (as in COCO
    itself), else the number of the frame, from 1.

    Args:
        folder: where to write.
        class_map: class index -> category id; None keeps the model's index.
    """

    def __init__(self, folder: Path, class_map: Mapping[int, int] | None = None) -> None:
        self._folder = folder
        self._class_map = class_map
        self._frames: list[tuple[str, int, bool]] = []
        self._records: list[dict[str, Any]] = []

    def write(self, result: FrameResult) -> None:
        """Keep one frame's results; categories that the mapping lacks are left out."""
        frame = result.frame
        self._frames.append((frame.source, frame.index, frame.video is None))
        for x1, y1, x2, y2, score, class_id in result.detections:
            category = class_id if self._class_map is None else self._class_map.get(class_id)
            if category is not None:
                box = [_short(value) for value in (x1, y1, x2 - x1, y2 - y1)]
                self._records.append(
                    {
                        "image_id": len(self._frames),
                        "category_id": category,
                        "bbox": box,
                        "score": _short(score, 5),
                    }
                )

    def finish(self, _summary: Mapping[str, Any], /) -> None:
        """Write both files.

        Raises:
            OutputError: they can't be written.
        """
        ids = _image_ids(self._frames)
        results = [{**row, "image_id": ids[row["image_id"] - 1]} for row in self._records]
        images = [
            {"id": image_id, "file_name": Path(source).name, "source": source, "frame": index}
            for image_id, (source, index, _) in zip(ids, self._frames, strict=True)
        ]
        _dump(self._folder / "coco.json", results)
        _dump(self._folder / "coco_images.json", images)


class CsvSink(PlainSink):
    """One row a detection in ``detections.csv``."""

    HEADER = ("source", "frame", "class_id", "class_name", "score", "x1", "y1", "x2", "y2")

    def __init__(self, folder: Path, *, tracked: bool = False) -> None:
        self._path = folder / "detections.csv"
        self._file = _open_text(self._path)
        self._writer = csv.writer(self._file)
        self._rows([(*self.HEADER, "track_id") if tracked else self.HEADER])

    def write(self, result: FrameResult) -> None:
        """Append a frame's rows.

        Raises:
            OutputError: they can't be written.
        """
        frame = result.frame
        self._rows(
            [
                (
                    frame.source,
                    frame.index,
                    class_id,
                    result.class_name(class_id),
                    _short(score, 5),
                    *(_short(value) for value in box),
                    *(("" if track is None else track,) if result.track_ids is not None else ()),
                )
                for (*box, score, class_id), track in zip(
                    result.detections, result.tracks(), strict=True
                )
            ]
        )

    def finish(self, _summary: Mapping[str, Any], /) -> None:
        """Complete the file.

        Raises:
            OutputError: it can't be written.
        """
        with writing(Path(self._path.name)):
            self._file.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _rows(self, rows: list[tuple[Any, ...]]) -> None:
        with writing(Path(self._path.name)):
            self._writer.writerows(rows)


class YoloSink(PlainSink):
    """YOLO text, ``labels/NAME.txt``: class, centre x and y, width, height (0..1), confidence."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "labels"
        self._names = FileNames()
        with writing(Path(self._folder.name)):
            self._folder.mkdir(exist_ok=True)

    def write(self, result: FrameResult) -> None:
        """Write one frame's file; a frame without detections gets an empty one.

        Raises:
            OutputError: it can't be written.
        """
        path = self._folder / self._names.pick(frame_stem(result.frame) + ".txt")
        height, width = result.frame.image.shape[:2]
        lines = yolo_lines(result.detections, height, width)
        with writing(Path(path.name)):
            path.write_text("".join(line + "\n" for line in lines), encoding="ascii")


def frame_record(result: FrameResult) -> dict[str, Any]:
    """Return a frame's JSON object: source, frame, detections with boxes in source pixels."""
    return {
        "source": result.frame.source,
        "frame": result.frame.index,
        "detections": [
            {
                "box": [_short(value) for value in box],
                "score": _short(score, 5),
                "class_id": class_id,
                "class_name": result.class_name(class_id),
                **({} if track is None else {"track_id": track}),
            }
            for (*box, score, class_id), track in zip(
                result.detections, result.tracks(), strict=True
            )
        ],
    }


def yolo_lines(detections: Detections, height: int, width: int) -> list[str]:
    """Return YOLO text lines for an image of ``height`` x ``width`` pixels."""
    lines = []
    for x1, y1, x2, y2, score, class_id in detections:
        centre = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height)
        size = ((x2 - x1) / width, (y2 - y1) / height)
        numbers = " ".join(f"{value:.6f}" for value in (*centre, *size, score))
        lines.append(f"{class_id} {numbers}")
    return lines


def _short(value: float, digits: int = 2) -> float:
    """A hundredth of a pixel is finer than any detector; files stay small and readable."""
    return round(value, digits)


def _image_ids(frames: list[tuple[str, int, bool]]) -> list[int]:
    stems = [Path(source).stem for source, _, _ in frames]
    numeric = all(is_image for *_, is_image in frames) and all(
        stem.isascii() and stem.isdecimal() and len(stem) < 18 for stem in stems
    )
    ids = [int(stem) for stem in stems] if numeric else []
    return ids if numeric and len(set(ids)) == len(ids) else list(range(1, len(frames) + 1))


def _open_text(path: Path) -> TextIO:
    with writing(Path(path.name)):
        # surrogateescape: file names on Linux are bytes, and a source may hold any of them.
        return path.open("w", encoding="utf-8", errors="surrogateescape", newline="")


def _dump(path: Path, value: Any) -> None:
    with writing(Path(path.name)):
        path.write_text(json.dumps(value, allow_nan=False), encoding="utf-8")
