"""run with the real stages: what they report survives the cache, and artifacts know their past."""

from __future__ import annotations

import io
import json
import shutil

import onnx
import pytest
from models import yolov8
from rich.console import Console
from scenes import write_dataset

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.lineage import LINEAGE_KEY, Step, dump_lineage
from edgecv_cli.cli.render import inspect as inspect_view
from edgecv_cli.cli.render import run as run_view
from edgecv_cli.config.inspect import InspectConfig
from edgecv_cli.config.run import RunConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.files import sha256_file
from edgecv_cli.graph.io import with_metadata
from edgecv_cli.pipeline.run import run_pipeline
from edgecv_cli.stages.inspect import inspect

PIPELINE = """model: detector.onnx
calibration: set
data: set
threads: 1
steps:
  - {id: facts, stage: inspect}
  - {id: before, stage: evaluate, result: out/before.json}
  - id: int8
    stage: quantize
    placement: last
    estimator: minmax
    bias_correction: on
    adaptive_rounding: off
    equalisation: off
    max_drop: 20%
    min_speedup: 0
    speed_seconds: 0.1
    output: out/int8.onnx
    save_plan: out/plan.json
  - {id: speed, stage: benchmark, inputs: [model, int8], duration: 0.1}
  - {id: pictures, stage: detect, sources: set/images, limit: 2, output: out/pictures}
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    trained = Step(stage="train", config="c" * 64, parents=("p" * 64,), versions={"torch": "1"})
    model = with_metadata(yolov8(planted=True), {LINEAGE_KEY: dump_lineage([trained])})
    onnx.save(model, folder / "detector.onnx")
    write_dataset(folder / "set", images=6)
    (folder / "p.yaml").write_text(PIPELINE)
    return folder


def run(work, **options):
    config = RunConfig(pipeline=work / "p.yaml", cache=work / "cache", **options)
    return run_pipeline(config, Context())


@pytest.fixture(scope="module")
def first(work):
    return run(work)


def files(folder):
    return {path: sha256_file(path) for path in folder.rglob("*") if path.is_file()}


def shown(blocks):
    console = Console(file=io.StringIO(), width=80)
    for block in blocks:
        console.print(block)
    return console.file.getvalue()


def test_every_stage_is_taken_from_the_cache_with_what_it_measured(work, first):
    published = files(work / "out")
    shutil.rmtree(work / "out")
    again = run(work)
    assert [step.status for step in first.steps] == ["done"] * 5
    assert [step.status for step in again.steps] == ["cached"] * 5
    assert [step.measurements for step in again.steps] == [s.measurements for s in first.steps]
    assert [step.seconds for step in again.steps] == [step.seconds for step in first.steps]
    assert files(work / "out") == published
    json.dumps(again.to_json(), allow_nan=False)


def test_results_speak_of_the_pipelines_own_names(work, first):
    text = json.dumps(first.to_json())
    assert "edgecv-tmp" not in text
    steps = {step.id: step for step in first.steps}
    assert steps["before"].measurements["model"] == "detector.onnx"
    assert steps["int8"].measurements["model"] == "detector.onnx"
    assert steps["int8"].measurements["saved"] == "out/int8.onnx"
    assert steps["int8"].measurements["plan"] == "out/plan.json"
    rows = steps["speed"].measurements["runs"]
    assert [row["model"] for row in rows] == ["detector.onnx", "out/int8.onnx"]
    assert steps["int8"].sha256 == sha256_file(work / "out" / "int8.onnx")


def test_the_chain_in_an_artifact_begins_with_the_first_file_and_has_no_gap(work, first):
    source = Artifact.open(work / "detector.onnx")
    int8 = Artifact.open(work / "out" / "int8.onnx")
    assert [step.stage for step in int8.lineage] == ["train", "quantize"]
    assert int8.lineage[0] == source.lineage[0]
    assert int8.lineage[1].parents == (source.content_digest,)
    assert int8.lineage[1].data
    assert int8.lineage[1].versions


def test_inspect_shows_the_chain(work, first):
    result = inspect(InspectConfig(model=work / "out" / "int8.onnx"), Context())
    assert [step["stage"] for step in result.to_json()["provenance"]] == ["train", "quantize"]
    text = shown(inspect_view.render(result))
    begin = Artifact.open(work / "detector.onnx").content_digest[:12]
    assert f"train     {'p' * 12} -> {begin}" in text
    assert f"quantize  {begin} -> {result.content_digest[:12]}" in text
    assert result.provenance[-1].config[:12] in text


def test_tables_fit_on_a_terminal_and_say_what_was_measured(work, first):
    text = shown(run_view.render(first))
    assert all(len(line) <= 80 for line in text.splitlines())
    for word in ("before", "mAP ", "x as fast", "p50 ", "objects in 2 frames", "out/int8.onnx"):
        assert word in text
    dry = shown(run_view.render(run(work, dry_run=True)))
    assert all(len(line) <= 80 for line in dry.splitlines())
    assert "nothing changed" in dry
