"""`benchmark` as a gate: conditions, a baseline, and the files that CI shows."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ET

import onnx
import pytest
from models import yolov8
from scenes import write_dataset

from edgecv_cli.config.benchmark import BenchmarkConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import (
    ConfigError,
    GateNotMetError,
    OutputExistsError,
    UsageError,
)
from edgecv_cli.stages.benchmark import benchmark


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "a|b größe.onnx"
    onnx.save(yolov8(planted=True), path)
    return path


def _never(*_, **__):
    pytest.fail("something was timed")


def run(model, **options):
    return benchmark(
        BenchmarkConfig.from_options(models=[str(model)], duration=0.2, threads=1, **options),
        Context(),
    )


@pytest.fixture(scope="module")
def baseline(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("baseline") / "baseline.json"
    path.write_text(json.dumps(run(model).to_json()))
    return path


def test_times_have_intervals_that_hold_them(model):
    (row,) = run(model).runs
    assert set(row.intervals) == {"p50_ms", "p90_ms", "p95_ms", "p99_ms", "mean_ms", "fps"}
    for name, interval in row.intervals.items():
        slack = 1e-9 + 0.02 * getattr(row, name)
        assert interval.low - slack <= getattr(row, name) <= interval.high + slack


def test_conditions_that_do_not_hold_pass_and_are_told(model, baseline):
    result = run(
        model,
        fail_if=["p50_ms > 10000", "p50_ms > +5000%", "size_bytes > +1%"],
        compare=str(baseline),
    )
    assert [gate.met for gate in result.gates] == [True, True, True]
    assert result.compared_to == str(baseline)


def test_a_condition_that_holds_is_exit_code_3_with_the_whole_result_and_every_file(
    model, tmp_path
):
    data = write_dataset(tmp_path / "data", images=3)
    files = {name: str(tmp_path / f"out.{name}") for name in ("md", "csv")}
    files |= {"junit": str(tmp_path / "out.xml"), "report": str(tmp_path / "out.html")}
    with pytest.raises(GateNotMetError) as refused:
        run(model, data=str(data), fail_if=["p50_ms > 1e-6", "map < 0.01"], **files)

    result = refused.value.result.to_json()
    assert refused.value.exit_code == 3
    assert [gate["met"] for gate in result["gates"]] == [False, True]
    assert result["runs"][0]["map"] > 0.3

    with (tmp_path / "out.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert float(row["p50_ms"]) == result["runs"][0]["p50_ms"]
    assert float(row["p95_ms_low"]) <= float(row["p95_ms_high"])
    assert float(row["map_low"]) <= float(row["map"])
    suite = ET.parse(tmp_path / "out.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("3", "1")
    assert "fails by 'p50_ms > 1e-06'" in suite.find(".//failure").get("message")
    markdown = (tmp_path / "out.md").read_text(encoding="utf-8")
    assert "> **Failed:** 1 of 2 gates met." in markdown
    assert r"a\|b größe.onnx" in markdown
    assert "FAILED" in (tmp_path / "out.html").read_text(encoding="utf-8")


def test_a_baseline_of_another_machine_is_refused_unless_asked_for(model, baseline, tmp_path):
    moved = json.loads(baseline.read_text())
    moved["machine"] |= {"fingerprint": "0" * 64, "cpu": "Cortex-A72"}
    path = tmp_path / "moved.json"
    path.write_text(json.dumps(moved))
    options = {"compare": str(path), "fail_if": ["p50_ms > +5000%"]}
    with pytest.raises(ConfigError, match="but on Cortex-A72") as refused:
        run(model, **options)
    assert "--cross-machine" in refused.value.remedy
    assert run(model, cross_machine=True, **options).gates[0].met


def test_a_baseline_of_other_models_is_refused_before_anything_is_timed(
    model, baseline, tmp_path, monkeypatch
):
    monkeypatch.setattr("edgecv_cli.stages.benchmark.time_rows", _never)
    other = tmp_path / "other.onnx"
    other.write_bytes(model.read_bytes())
    with pytest.raises(UsageError, match=r"no row for other\.onnx"):
        run(other, compare=str(baseline), fail_if=["p50_ms > +5%"])
    data = write_dataset(tmp_path / "data", images=1)
    with pytest.raises(UsageError, match="has no map"):
        run(model, data=str(data), compare=str(baseline), fail_if=["map < -5%"])


@pytest.mark.parametrize("content", ["", "[]", '{"schema": "edgecv.evaluate/1"}', '{"runs": 1}'])
def test_a_file_that_is_no_baseline_is_refused(model, tmp_path, content):
    path = tmp_path / "no.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match="is not what `edgecv benchmark --json` wrote"):
        run(model, compare=str(path), fail_if=["p50_ms > +5%"])
    with pytest.raises(ConfigError, match="can't be read"):
        run(model, compare=str(tmp_path / "absent.json"), fail_if=["p50_ms > +5%"])


def test_no_file_is_overwritten_and_no_two_share_a_name(model, tmp_path, monkeypatch):
    monkeypatch.setattr("edgecv_cli.stages.benchmark.time_rows", _never)
    taken = tmp_path / "out.csv"
    taken.write_text("mine")
    with pytest.raises(OutputExistsError):
        run(model, csv=str(taken))
    assert taken.read_text() == "mine"
    with pytest.raises(UsageError, match="--md and --csv both name"):
        run(model, csv=str(tmp_path / "one"), md=str(tmp_path / "one"))
    with pytest.raises(OutputExistsError):
        run(model, md=str(model), force=True)
