"""The demo's own work, on a planted detector that needs seconds instead of a minute."""

from __future__ import annotations

import json

import onnx
import pytest
from models import yolov8
from scenes import write_dataset

import edgecv_cli.pipeline.demo as module
from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.lineage import SPEC_KEY
from edgecv_cli.config.common import MaxDrop
from edgecv_cli.config.demo import DemoConfig
from edgecv_cli.core.context import Context, SilentProgress
from edgecv_cli.core.errors import OutputError, OutputExistsError
from edgecv_cli.core.result import Interval
from edgecv_cli.media.images import open_images
from edgecv_cli.pipeline.demo import demo
from edgecv_cli.pipeline.demo_report import verdict
from edgecv_cli.pipeline.stock import stock_quantize


class Listening(SilentProgress):
    """Keeps the steps that are announced."""

    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """What a distribution carries, in small."""
    folder = tmp_path_factory.mktemp("shipped")
    onnx.save(yolov8(planted=True), folder / module.MODEL)
    write_dataset(folder / "calibration", images=8, seed=100)
    write_dataset(folder / "validation", images=8)
    return folder


@pytest.fixture
def small(shipped, monkeypatch):
    monkeypatch.setattr(module, "resource", lambda *parts: shipped.joinpath(*parts[1:]))
    monkeypatch.setattr(module, "MAX_DROP", MaxDrop(50.0, "%"))
    monkeypatch.setattr(module, "_SECONDS", 0.2)
    monkeypatch.setattr(module, "_SEARCH_SECONDS", 0.2)


@pytest.fixture(scope="module")
def done(shipped, tmp_path_factory):
    """One demo, looked at by several tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "resource", lambda *parts: shipped.joinpath(*parts[1:]))
        patch.setattr(module, "MAX_DROP", MaxDrop(50.0, "%"))
        patch.setattr(module, "_SECONDS", 0.2)
        patch.setattr(module, "_SEARCH_SECONDS", 0.2)
        progress = Listening()
        output = tmp_path_factory.mktemp("demo") / "out"
        result = demo(DemoConfig(output=output, threads=1), Context(progress=progress))
    return result, output, progress.notes


def test_json_has_the_keys_that_scripts_rely_on(done):
    printed = done[0].to_json()
    keys = {"map", "map50", "p50_ms", "p95_ms", "size_bytes"}
    assert keys <= set(printed["baseline"])
    assert keys <= set(printed["optimized"])
    assert {"speedup", "size_ratio", "drop", "report", "images", "machine"} <= set(printed)
    json.dumps(printed)


def test_everything_that_it_names_is_on_disk(done):
    result, output, _ = done
    for name in (*result.models, *result.pictures, "report.html"):
        assert (output / name).stat().st_size > 0
    assert result.report == str(output / "report.html")
    assert not list(output.rglob("*.edgecv-tmp"))


def test_each_step_is_announced(done):
    assert [note[:3] for note in done[2] if note[1:3] == "/5"] == [
        "1/5",
        "2/5",
        "3/5",
        "4/5",
        "5/5",
    ]


def test_the_report_needs_nothing_else_and_holds_the_figures(done):
    result, output, _ = done
    text = (output / "report.html").read_text()
    assert f"{result.baseline.map:.3f}" in text
    assert f"{result.optimized.map:.3f}" in text
    assert "http://" not in text
    assert "https://" not in text
    assert text.count("data:image/") in (2, 4, 6, 8)
    assert result.sha256 in text
    assert all(name in text for name in result.baseline.per_class)


def test_a_report_elsewhere_that_stands_is_refused_before_anything_is_written(small, tmp_path):
    report = tmp_path / "r.html"
    report.write_text("mine")
    with pytest.raises(OutputExistsError, match=r"r\.html exists already"):
        demo(DemoConfig(output=tmp_path / "out", report=report), Context())
    assert report.read_text() == "mine"
    assert not (tmp_path / "out").exists()


def test_figures_come_from_the_files_on_disk(done):
    result, output, _ = done
    assert result.optimized.size_bytes == (output / "detector-int8.onnx").stat().st_size
    assert result.size_ratio == result.baseline.size_bytes / result.optimized.size_bytes
    lost = result.baseline.map - result.optimized.map
    assert result.drop.points == pytest.approx(100 * lost)


@pytest.mark.parametrize(("low", "said"), [(1.2, "as fast on this machine"), (0.8, "does not pay")])
def test_the_verdict_says_whether_int8_pays(done, low, said):
    interval = Interval(low=low, high=1.5)
    changed = {"pays": low > 1, "speedup_interval": interval, "speedup": 1.1}
    assert said in verdict(done[0].model_copy(update=changed))


def test_a_folder_that_holds_something_is_left_alone(small, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputExistsError):
        demo(DemoConfig(output=tmp_path), Context())
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_file_is_no_output_folder(small, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError):
        demo(DemoConfig(output=tmp_path / "file"), Context())


def test_the_stock_quantizer_is_the_peer_as_it_is(shipped, tmp_path):
    artifact = Artifact.open(shipped / module.MODEL)
    target = tmp_path / "stock.onnx"
    images = open_images(shipped / "calibration").paths

    stock_quantize(artifact, artifact.detector().spec, images, target, Context())

    made = Artifact.open(target)
    assert made.facts().precision == "int8"
    assert SPEC_KEY in made.metadata
    assert {value.name for value in made.model.graph.output} == {"output0"}
