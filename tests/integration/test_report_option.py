"""--report, from a command's settings to one HTML file that needs nothing else."""

from __future__ import annotations

import re

import onnx
import pytest
from models import yolov8
from scenes import CLASS_NAMES, write_dataset

from edgecv_cli.config.common import MaxDrop
from edgecv_cli.config.demo import DemoConfig
from edgecv_cli.config.evaluate import EvaluateConfig
from edgecv_cli.config.quantize import QuantizeConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import ConfigError, GateNotMetError, OutputExistsError
from edgecv_cli.stages.evaluate import evaluate
from edgecv_cli.stages.quantize import quantize


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "set", images=8, size=(64, 64))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "detector.onnx"
    onnx.save(yolov8(planted=True), path)
    return path


def quantizing(model, data, folder, **changes):
    """One recipe, any speed: fast."""
    return QuantizeConfig(
        model=model, output=folder / "int8.onnx", report=folder / "r.html", calibration=data,
        data=data, placement="last", estimator="minmax", bias_correction="on", equalisation="off",
        adaptive_rounding="off", threads=1,
        speed_seconds=0.2, max_drop=MaxDrop(50.0, "%"), **{"min_speedup": 0.0, **changes},
    )  # fmt: skip


def left_in(folder):
    return sorted(path.name for path in folder.iterdir())


NEEDED = {
    DemoConfig: {},
    EvaluateConfig: {"model": "m.onnx", "data": "d"},
    QuantizeConfig: {"model": "m.onnx", "output": "o.onnx", "calibration": "c"},
}


@pytest.mark.parametrize("config", NEEDED)
def test_the_commands_that_measure_take_it(config):
    assert config.option_name("report") == "--report"
    assert config.from_options(report="r.html", **NEEDED[config]).report.name == "r.html"
    with pytest.raises(ConfigError, match=r"does not end in \.html"):
        config.from_options(report="r.pdf", **NEEDED[config])


def test_quantize_writes_one_file_that_needs_nothing(model, data, tmp_path):
    result = quantize(quantizing(model, data, tmp_path), Context())

    html = (tmp_path / "r.html").read_text()
    assert result.report == str(tmp_path / "r.html")
    assert not re.search(r"https?://|<script|<link|url\(", html)
    assert 2 <= html.count("data:image/jpeg") <= 8
    assert f"{result.baseline.map:.3f} → " in html or f"{result.baseline.map:.3f}<" in html
    assert result.sha256 in html
    assert result.provenance[-1].parents[0] in html
    assert all(name in html for name in result.baseline.per_class)
    assert sum(result.objects.values()) > 0
    for side in (result.baseline, result.optimized):
        assert side.distribution.samples == side.samples
    assert len(html) < 2_000_000


def test_a_refusal_leaves_its_report_and_nothing_else(model, data, tmp_path):
    with pytest.raises(GateNotMetError) as refused:
        quantize(quantizing(model, data, tmp_path, min_speedup=500.0), Context())
    assert left_in(tmp_path) == ["r.html"]
    html = (tmp_path / "r.html").read_text()
    assert "Refused." in html
    assert "min speedup" in html
    assert refused.value.result.report == str(tmp_path / "r.html")


def test_a_report_that_stands_is_refused_before_the_work(model, data, tmp_path):
    (tmp_path / "r.html").write_text("mine")
    with pytest.raises(OutputExistsError, match=r"r\.html exists already"):
        quantize(quantizing(model, data, tmp_path), Context())
    with pytest.raises(OutputExistsError, match=r"r\.html exists already"):
        evaluate(EvaluateConfig(model=model, data=data, report=tmp_path / "r.html"), Context())
    assert (tmp_path / "r.html").read_text() == "mine"
    assert left_in(tmp_path) == ["r.html"]


def test_evaluate_shows_labels_beside_detections(model, data, tmp_path):
    report = tmp_path / "r.html"
    report.write_text("old")
    config = EvaluateConfig(model=model, data=data, report=report, force=True, threads=1)

    result = evaluate(config, Context())

    html = report.read_text()
    assert f"{result.map:.3f}" in html
    assert result.objects.keys() == result.per_class.keys() <= set(CLASS_NAMES)
    assert re.search(r"000000\.png, labels: \d object", html)
    assert re.search(r"000000\.png, detections: \d object", html)
    assert left_in(tmp_path) == ["r.html"]
