"""The pipelines in ``configs/pipelines`` are read, and say what they are."""

from __future__ import annotations

import re

import pytest

from edgecv_cli.config.run import RunConfig
from edgecv_cli.core.resources import resource
from edgecv_cli.pipeline.outputs import check_places
from edgecv_cli.pipeline.read import read_pipeline

RECIPES = sorted(resource("configs", "pipelines").glob("*.yaml"))
EACH = pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)


@EACH
def test_pipelines_are_read_as_they_stand(recipe, tmp_path):
    copy = tmp_path / recipe.name
    copy.write_bytes(recipe.read_bytes())
    pipeline = read_pipeline(RunConfig(pipeline=copy))
    check_places(pipeline, tmp_path / "report.html")
    assert pipeline.model == tmp_path / "model.onnx"
    assert any(step.places for step in pipeline.steps)


@EACH
def test_pipelines_say_what_they_are_and_how_to_use_them(recipe):
    text = recipe.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert re.search(r"^#   edgecv run \S+\.yaml", text, re.MULTILINE)


def test_there_are_pipelines():
    assert len(RECIPES) >= 3
