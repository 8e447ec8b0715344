"""The JUnit file is there whatever came of the run, and only where it was asked for."""

from xml.etree import ElementTree as ET

import pytest

from edgecv_cli.config.run import RunConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import (
    ConfigError,
    GateNotMetError,
    InterruptedByUser,
    OutputExistsError,
)
from edgecv_cli.pipeline.run_junit import run_judged
from edgecv_cli.pipeline.run_result import RunResult, StepReport


def result(status):
    step = StepReport(id="int8", stage="quantize", inputs=("model",), status=status, why="lost 3 %")
    return RunResult(pipeline="p.yaml", steps=(step,), cache="c", seconds=1.0)


def done(config, context):
    return result("done")


def refused(config, context):
    raise GateNotMetError("lost 3 %", remedy="allow more", result=result("rejected"))


def wrong(config, context):
    raise ConfigError("p.yaml: unknown setting stps", remedy="write steps")


def interrupted(config, context):
    raise InterruptedByUser


@pytest.fixture
def config(tmp_path):
    return RunConfig(pipeline="p.yaml", junit=tmp_path / "reports" / "junit.xml")


def suite(config):
    return ET.parse(config.junit).getroot()[0]


def test_a_run_that_passed(config):
    assert run_judged(config, Context(), run=done) == result("done")
    assert suite(config).get("failures") == "0"
    assert suite(config)[0].get("name") == "int8 (quantize)"


def test_a_gate_that_is_not_met_is_a_failure(config):
    with pytest.raises(GateNotMetError):
        run_judged(config, Context(), run=refused)
    assert suite(config).get("failures") == "1"


def test_an_error_is_an_error(config):
    with pytest.raises(ConfigError):
        run_judged(config, Context(), run=wrong)
    assert suite(config).get("errors") == "1"
    assert suite(config).get("name") == "p.yaml"
    assert "unknown setting" in suite(config)[0].find("error").get("message")


def test_what_was_interrupted_or_only_planned_writes_none(config):
    with pytest.raises(InterruptedByUser):
        run_judged(config, Context(), run=interrupted)
    run_judged(config.model_copy(update={"dry_run": True}), Context(), run=done)
    run_judged(config.model_copy(update={"junit": None}), Context(), run=done)
    assert not config.junit.exists()


def test_an_older_file_is_replaced_by_force_alone(config):
    run_judged(config, Context(), run=done)
    before = config.junit.read_text()
    with pytest.raises(OutputExistsError):
        run_judged(config, Context(), run=refused)
    assert config.junit.read_text() == before
    with pytest.raises(GateNotMetError):
        run_judged(config.model_copy(update={"force": True}), Context(), run=refused)
    assert config.junit.read_text() != before
