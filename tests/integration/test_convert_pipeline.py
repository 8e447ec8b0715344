"""A pipeline that converts: two files of one artifact are kept, found again and published."""

from __future__ import annotations

import importlib.util

import models
import onnx
import pytest
from scenes import write_dataset

from edgecv_cli.config.run import RunConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import ConfigError, OutputExistsError
from edgecv_cli.core.files import sha256_file
from edgecv_cli.pipeline.run import run_pipeline

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None,
    reason="the package openvino is not installed: pip install -e '.[openvino]'",
)

PIPELINE = """model: m.onnx
threads: 1
steps:
  - {id: ir, stage: convert-openvino, precision: fp16, speed_seconds: 0, output: out/m.xml}
  - {id: map, stage: evaluate, data: set, engine: openvino, result: out/map.json}
"""


@pytest.fixture
def pipe(tmp_path):
    onnx.save(models.yolov8(planted=True), tmp_path / "m.onnx")
    write_dataset(tmp_path / "set", images=3)
    (tmp_path / "p.yaml").write_text(PIPELINE)
    return tmp_path


def run(folder, **options):
    config = RunConfig(pipeline=folder / "p.yaml", cache=folder / "cache", **options)
    return run_pipeline(config, Context())


def published(folder):
    return {path.name: sha256_file(path) for path in (folder / "out").iterdir()}


def test_both_files_are_published_and_taken_from_the_cache_again(pipe):
    first = run(pipe)
    made = published(pipe)

    assert set(made) == {"m.xml", "m.bin", "m.xml.edgecv.json", "map.json"}
    for path in (pipe / "out").iterdir():
        path.unlink()
    # Another data set: evaluate has to run, on the artifact out of the cache.
    write_dataset(pipe / "other", images=2, seed=9)
    (pipe / "p.yaml").write_text(PIPELINE.replace("data: set", "data: other"))
    second = run(pipe)

    assert [step.status for step in first.steps] == ["done", "done"]
    assert [step.status for step in second.steps] == ["cached", "done"]
    again = published(pipe)
    assert {name: again[name] for name in made if name != "map.json"} == {
        name: made[name] for name in made if name != "map.json"
    }
    files = second.steps[0].measurements["files"]
    assert [file["path"] for file in files] == ["out/m.bin", "out/m.xml"]


def test_weights_that_stand_already_are_not_replaced_unasked(pipe):
    (pipe / "out").mkdir()
    (pipe / "out" / "m.bin").write_text("mine")

    with pytest.raises(OutputExistsError, match=r"m\.bin"):
        run(pipe)
    assert (pipe / "out" / "m.bin").read_text() == "mine"


def test_two_steps_do_not_share_weights(pipe):
    text = PIPELINE + "  - {id: again, stage: convert-openvino, input: model, output: out/m.XML}\n"
    (pipe / "p.yaml").write_text(text)

    with pytest.raises(ConfigError, match=r"publishes"):
        run(pipe)
