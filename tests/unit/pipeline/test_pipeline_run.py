"""Running pipelines of stages that cost nothing: what is done, what is kept, what is published."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
import pytest
from fake_stages import FAKES
from models import yolov8
from scenes import write_dataset

from edgecv_cli.artifact.sidecar import read_sidecar
from edgecv_cli.config.run import RunConfig
from edgecv_cli.core.context import Cancel, Context, SilentProgress
from edgecv_cli.core.errors import (
    ConfigError,
    DataError,
    GateNotMetError,
    InterruptedByUser,
    OutputExistsError,
    UsageError,
)
from edgecv_cli.core.files import sha256_file
from edgecv_cli.core.store import FolderStore
from edgecv_cli.measure import hardware
from edgecv_cli.pipeline import keys
from edgecv_cli.pipeline.run import run_pipeline

LINE = """model: m.onnx
calibration: set
data: set
steps:
  - {id: before, stage: count, result: out/before.json}
  - {id: first, stage: stamp, word: one, output: out/first.onnx}
  - {id: second, stage: stamp, word: two}
  - {id: both, stage: compare, inputs: [model, first, second]}
  - {id: listed, stage: files, output: out/listed}
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    onnx.save(yolov8(), folder / "m.onnx")
    write_dataset(folder / "set", images=3)
    return folder


class Pipe:
    """A pipeline in a folder of its own, with a cache of its own."""

    def __init__(self, folder, log):
        self.folder, self._log = folder, log
        self.file = folder / "p.yaml"

    def write(self, text):
        self.file.write_text(text)
        return self

    def run(self, context=None, **options):
        options = {"pipeline": self.file, "cache": self.folder / "cache", **options}
        return run_pipeline(RunConfig(**options), context or Context(), stages=FAKES)

    def statuses(self, **options):
        return {step.id: step.status for step in self.run(**options).steps}

    def whys(self):
        steps = self.run(dry_run=True, force=True).steps
        return {step.id: step.why for step in steps if step.status != "cached"}

    def logged(self):
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        self._log.unlink(missing_ok=True)
        return [line.removeprefix("end ") for line in lines if line.startswith("end ")]

    def tree(self):
        """Every file outside of the cache, with its digest."""
        found = (path for path in self.folder.rglob("*") if path.is_file())
        inside = self.folder / "cache"
        return {
            path.relative_to(self.folder).as_posix(): sha256_file(path)
            for path in found
            if not path.is_relative_to(inside)
        }


@pytest.fixture
def pipe(tmp_path, sources, monkeypatch):
    folder = tmp_path / "pipe"
    shutil.copytree(sources, folder)
    log = tmp_path / "log"
    monkeypatch.setenv("EDGECV_TEST_LOG", str(log))
    return Pipe(folder, log).write(LINE)


def test_every_step_is_done_once_and_its_outputs_stand(pipe):
    result = pipe.run()
    assert pipe.logged() == ["count", "one", "two", "compare", "files"]
    assert {step.status for step in result.steps} == {"done"}
    steps = {step.id: step for step in result.steps}
    out = pipe.folder / "out"
    assert steps["first"].sha256 == sha256_file(out / "first.onnx")
    assert steps["second"].sha256 is not None
    assert steps["before"].sha256 is None
    assert steps["before"].measurements == json.loads((out / "before.json").read_text())
    assert steps["first"].published == (str(out / "first.onnx"),)
    assert {path.name for path in (out / "listed").rglob("*.txt")} == {"0.txt", "1.txt", "all.txt"}
    assert read_sidecar(out / "first.onnx", steps["first"].sha256)["saved"] == "out/first.onnx"
    assert result.to_json()["steps"][0]["stage"] == "count"


def test_results_name_artifacts_as_the_pipeline_does(pipe):
    steps = {step.id: step.measurements for step in pipe.run().steps}
    assert steps["both"]["looked_at"] == ["m.onnx", "out/first.onnx", "second"]
    assert steps["listed"]["saved"] == "out/listed"
    assert "saved" not in steps["second"]


def test_a_second_run_takes_everything_from_the_cache_and_writes_nothing_new(pipe):
    first = pipe.run()
    pipe.logged()
    before = pipe.tree()
    second = pipe.run()
    assert pipe.logged() == []
    assert {step.status for step in second.steps} == {"cached"}
    assert pipe.tree() == before
    assert [s.measurements for s in second.steps] == [s.measurements for s in first.steps]
    assert [s.seconds for s in second.steps] == [s.seconds for s in first.steps]


def test_outputs_that_were_removed_come_back_from_the_cache(pipe):
    pipe.run()
    before = pipe.tree()
    shutil.rmtree(pipe.folder / "out")
    pipe.logged()
    pipe.run()
    assert pipe.logged() == []
    assert pipe.tree() == before


def test_the_same_work_is_found_under_other_names_and_places(pipe):
    pipe.run()
    pipe.logged()
    shutil.move(pipe.folder / "m.onnx", pipe.folder / "moved.onnx")
    pipe.write(
        "model: moved.onnx\ncalibration: set\ndata: set\nsteps:\n"
        "  - {id: renamed, stage: stamp, word: one, output: elsewhere.onnx}\n"
    )
    (step,) = pipe.run().steps
    assert (step.status, pipe.logged()) == ("cached", [])
    assert step.measurements["looked_at"] == ["moved.onnx"]
    assert step.measurements["saved"] == "elsewhere.onnx"
    assert (pipe.folder / "elsewhere.onnx").is_file()


def test_fresh_does_everything_again(pipe):
    pipe.run()
    pipe.logged()
    assert set(pipe.statuses(fresh=True, force=True).values()) == {"done"}
    assert len(pipe.logged()) == 5


def test_a_dry_run_says_what_would_be_done_and_touches_nothing(pipe):
    before = pipe.tree()
    result = pipe.run(dry_run=True)
    assert [step.status for step in result.steps] == ["would run"] * 5
    assert [step.why for step in result.steps] == [
        "never run", "never run", "first runs first", "first and second runs first",
        "second runs first",
    ]  # fmt: skip
    assert result.dry_run
    assert pipe.tree() == before
    assert not (pipe.folder / "cache").exists()
    assert pipe.logged() == []


def test_a_dry_run_leaves_the_cache_as_it_is(pipe):
    pipe.run()
    entries = {p: p.stat() for p in (pipe.folder / "cache").iterdir()}
    assert set(pipe.statuses(dry_run=True).values()) == {"cached"}
    after = {p: p.stat() for p in (pipe.folder / "cache").iterdir()}
    assert {p: (s.st_mtime_ns, s.st_size) for p, s in after.items()} == {
        p: (s.st_mtime_ns, s.st_size) for p, s in entries.items()
    }


def test_a_dry_run_says_why(pipe, monkeypatch):
    pipe.run()
    pipe.write(LINE.replace("word: two", "word: three"))
    assert pipe.whys() == {
        "second": "config changed: word",
        "both": "second runs first",
        "listed": "second runs first",
    }
    pipe.write(LINE)
    (pipe.folder / "set" / "images" / "000000.png").write_bytes(
        (pipe.folder / "set" / "images" / "000001.png").read_bytes()
    )
    assert pipe.whys()["before"] == "input changed: data"
    assert pipe.whys()["first"] == "input changed: calibration"


def test_a_changed_model_is_a_changed_input_everywhere(pipe):
    pipe.run()
    onnx.save(yolov8(seed=1), pipe.folder / "m.onnx")
    assert pipe.whys()["before"] == "input changed: model"


def test_a_model_that_says_something_else_of_itself_is_another_input(pipe):
    pipe.run()
    model = onnx.load(pipe.folder / "m.onnx")
    model.metadata_props.add(key="edgecv.spec", value="{}")
    onnx.save(model, pipe.folder / "m.onnx")
    assert pipe.whys()["before"] == "input changed: model"


def test_only_what_is_measured_belongs_to_a_machine(pipe, monkeypatch):
    pipe.run()
    monkeypatch.setattr(hardware, "cpu_model", lambda: "another processor")
    assert pipe.whys() == {
        "first": "machine differs",
        "second": "first runs first",
        "both": "first and second runs first",
        "listed": "second runs first",
    }


def test_another_version_of_a_library_is_another_key(pipe, monkeypatch):
    pipe.run()
    installed = {**keys._installed(), "numpy": "0.1"}
    monkeypatch.setattr(keys, "_installed", lambda: installed)
    assert pipe.whys()["before"].startswith("versions changed: numpy ")
    assert pipe.whys()["before"].endswith("-> 0.1")


def test_an_entry_that_is_damaged_or_gone_is_done_again_with_the_same_bytes(pipe):
    pipe.run()
    before = pipe.tree()
    pipe.logged()
    for number, entry in enumerate(sorted((pipe.folder / "cache").glob("*.entry"))):
        entry.write_bytes(b"x") if number % 2 else entry.unlink()
    shutil.rmtree(pipe.folder / "out")
    pipe.run()
    assert len(pipe.logged()) == 5
    assert pipe.tree() == before


def test_a_cache_without_room_costs_time_but_nothing_else(pipe):
    result = pipe.run(cache_limit=1e-9)
    assert {step.status for step in result.steps} == {"done"}
    assert (pipe.folder / "out" / "listed" / "all.txt").is_file()


def test_an_output_in_the_way_is_refused_before_anything_is_done(pipe):
    (pipe.folder / "out").mkdir()
    (pipe.folder / "out" / "first.onnx").write_bytes(b"mine")
    with pytest.raises(OutputExistsError, match=r"step first: .*first.onnx exists already"):
        pipe.run()
    with pytest.raises(OutputExistsError):
        pipe.run(dry_run=True)
    assert pipe.logged() == []
    pipe.run(force=True)
    assert (pipe.folder / "out" / "first.onnx").read_bytes() != b"mine"


def test_a_finished_output_that_was_changed_is_not_overwritten(pipe):
    pipe.run()
    with (pipe.folder / "out" / "listed" / "all.txt").open("a") as file:
        file.write("mine")
    with pytest.raises(OutputExistsError, match=r"all.txt exists already"):
        pipe.run()


def test_a_new_setting_needs_force_for_outputs_that_stand(pipe):
    pipe.run()
    pipe.write(LINE.replace("word: one", "word: ones"))
    with pytest.raises(OutputExistsError, match=r"first.onnx exists already"):
        pipe.run()
    assert pipe.statuses(force=True)["first"] == "done"


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        ("{stage: stamp, output: m.onnx}", "is the input"),
        ("{stage: stamp, output: p.yaml/x.onnx}", "exists and is no folder"),
        ("{stage: files, output: set}", "is the input"),
        ("{stage: files, output: .}", "contains the input"),
        ("{stage: files, output: p.yaml}", "is not a folder"),
        ("{stage: count, result: set.json}", "is not a file"),
        ("{stage: stamp, output: a.onnx, result: b/../a.onnx.edgecv.json}", "another output"),
        (f"{{stage: stamp, output: {'x' * 300}.onnx}}", "File name too long"),
        ("{stage: stamp, keep_rejected: set}", "is not a file"),
        ("{stage: count, spec: none.yaml}", "step count: "),
        ("{stage: count, data: none}", "step count: "),
        ("{stage: stamp, calibration: none}", "step stamp: "),
    ],
)
def test_places_that_can_not_work_are_refused(pipe, step, problem):
    (pipe.folder / "set.json").mkdir()
    pipe.write(
        "model: m.onnx\ncalibration: set\ndata: set\nsteps:\n"
        f"  - {{id: c, stage: count}}\n  - {step}\n"
    )
    with pytest.raises(UsageError, match=problem) as refused:
        pipe.run()
    assert "p.yaml: step " in refused.value.problem
    assert pipe.logged() == []


def test_two_steps_that_publish_in_each_other_are_refused(pipe):
    pipe.write(
        "model: m.onnx\nsteps:\n  - {stage: files, output: out}\n"
        "  - {stage: stamp, output: out/a.onnx}\n"
    )
    with pytest.raises(ConfigError, match=r"step stamp: .*a.onnx is also where step files"):
        pipe.run()


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        ("{stage: evaluate, data: set, engine: onnxruntim}", "step evaluate: .*onnxruntim"),
        ("{stage: benchmark, engine: [onnxruntime, none]}", "step benchmark: .*none"),
        ("{stage: quantize, plan: /dev/zero, data: set}", "/dev/zero is not a file"),
        ("{stage: detect, sources: nothing}", "nothing does not exist"),
    ],
)
def test_what_real_stages_can_not_do_is_refused(pipe, step, problem):
    pipe.write(f"model: m.onnx\nsteps:\n  - {step}\n")
    with pytest.raises(UsageError, match=problem) as refused:
        run_pipeline(RunConfig(pipeline=pipe.file, cache=pipe.folder / "cache"), Context())
    assert "p.yaml: step " in refused.value.problem


@pytest.mark.parametrize("content", [b"", b"no model"])
def test_a_broken_model_is_refused_when_read(pipe, content):
    (pipe.folder / "m.onnx").write_bytes(content)
    with pytest.raises(ConfigError, match=r"p.yaml: model: "):
        pipe.run()


GATED = """model: m.onnx
steps:
  - {id: short, stage: stamp, word: so, least: 3, output: a.onnx, keep_rejected: kept.onnx}
  - {id: after, stage: count}
  - {id: later, stage: compare, inputs: [model, short]}
  - {id: beside, stage: count, input: model}
"""


def test_a_gate_skips_what_depends_on_it_and_nothing_else(pipe):
    pipe.write(GATED)
    with pytest.raises(GateNotMetError, match="step short: so is too short") as refused:
        pipe.run()
    result = refused.value.result
    assert [(step.id, step.status) for step in result.steps] == [
        ("short", "rejected"), ("after", "skipped"), ("later", "skipped"), ("beside", "done"),
    ]  # fmt: skip
    assert result.steps[1].why == "short gave nothing"
    assert result.steps[0].measurements["looked_at"] == ["m.onnx"]
    assert not (pipe.folder / "a.onnx").exists()
    assert (pipe.folder / "kept.onnx").is_file()
    assert refused.value.remedy == "take a longer word"
    assert result.steps[0].seconds is not None


def test_a_refusal_is_measured_anew_each_time(pipe):
    pipe.write(GATED)
    for _ in range(2):
        with pytest.raises(GateNotMetError) as refused:
            pipe.run(force=True)
        assert refused.value.result.steps[0].status == "rejected"
    assert refused.value.result.steps[3].status == "cached"


def test_a_report_is_written_even_if_a_gate_refuses(pipe):
    pipe.write(GATED)
    report = pipe.folder / "r.html"
    with pytest.raises(GateNotMetError) as refused:
        pipe.run(report=report)
    assert refused.value.result.report == str(report)
    text = report.read_text()
    assert "so is too short" in text
    assert "rejected" in text
    with pytest.raises(OutputExistsError):
        pipe.run(report=report)


def test_a_failing_step_stops_the_run_and_what_was_finished_is_kept(pipe):
    pipe.write(LINE.replace("{id: both, stage: compare", "{id: both, stage: count, fail: true, input: model}\n  - {id: rest, stage: compare"))  # fmt: skip # noqa: E501
    with pytest.raises(DataError, match=r"p.yaml: step both: the data is bad"):
        pipe.run()
    assert pipe.logged() == ["count", "one", "two"]
    pipe.write(LINE)
    assert pipe.statuses()["second"] == "cached"
    assert pipe.logged() == ["compare", "files"]


class StopAt(SilentProgress):
    """Presses Ctrl-C when it hears a word."""

    def __init__(self, word):
        self.word, self.cancel = word, Cancel()

    def note(self, text):
        if self.word in text:
            self.cancel.set()


@pytest.mark.parametrize(("word", "kept"), [("1/5", []), ("2/5", ["before"])])
def test_ctrl_c_leaves_nothing_half_done_and_keeps_what_is_finished(pipe, word, kept):
    progress = StopAt(word)
    if word == "1/5":
        progress.cancel.set()
    with pytest.raises(InterruptedByUser):
        pipe.run(Context(progress=progress, cancel=progress.cancel))
    assert not (pipe.folder / "out" / "first.onnx").exists()
    assert not list(pipe.folder.rglob("*-tmp"))
    assert [step for step, status in pipe.statuses().items() if status == "cached"] == kept


class Killed(BaseException):
    """Stands for a SIGKILL: nothing in the package catches it."""


def test_stopped_after_any_write_and_run_again_nothing_finished_is_done_twice(pipe, monkeypatch):
    pipe.run()
    whole = pipe.tree()
    done = pipe.logged()
    real, writes = FolderStore.put, []
    for stop in range(1, 100):
        shutil.rmtree(pipe.folder / "cache")
        shutil.rmtree(pipe.folder / "out")
        writes.clear()

        def put(store, key, value, stop=stop):
            real(store, key, value)
            writes.append(key)
            if len(writes) == stop:
                raise Killed

        monkeypatch.setattr(FolderStore, "put", put)
        try:
            pipe.run()
        except Killed:
            kept = sum(key.startswith("step ") for key in writes)
        else:
            break
        monkeypatch.setattr(FolderStore, "put", real)
        assert pipe.logged()[:kept] == done[:kept]
        pipe.run()
        assert pipe.logged() == done[kept:]
        assert pipe.tree() == whole
    assert stop > 2 * len(done)


def test_a_scratch_folder_of_a_dead_run_is_swept(pipe):
    dead = pipe.folder / "cache" / ".run.0123.edgecv-tmp"
    dead.mkdir(parents=True)
    (dead / "half.onnx").write_bytes(b"half")
    pipe.run()
    assert not dead.exists()


def test_keys_do_not_depend_on_where_the_run_was_started(pipe, monkeypatch):
    pipe.run()
    before = pipe.tree()
    pipe.logged()
    monkeypatch.chdir(pipe.folder)
    result = pipe.run(pipeline=Path(pipe.file.name))
    assert {step.status for step in result.steps} == {"cached"}
    assert pipe.tree() == before
