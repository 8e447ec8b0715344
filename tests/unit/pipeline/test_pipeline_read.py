"""What a pipeline's YAML may say, and how what can't work is refused before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgecv_cli.config.run import RunConfig
from edgecv_cli.core.errors import ConfigError, UsageError
from edgecv_cli.pipeline.read import MODEL, read_pipeline

HEAD = "model: m.onnx\ncalibration: cal\ndata: val\nthreads: 2\nsteps:\n"


@pytest.fixture
def read(tmp_path):
    def read_text(text, **options):
        file = tmp_path / "pipe.yaml"
        file.write_text(text)
        return read_pipeline(RunConfig(pipeline=file, **options))

    return read_text


def steps_of(pipeline):
    return {step.id: step for step in pipeline.steps}


def test_paths_begin_at_the_yaml_and_shared_settings_reach_every_step_that_takes_them(
    read, tmp_path
):
    pipeline = read(
        HEAD
        + "  - stage: evaluate\n"
        + "  - {id: int8, stage: quantize, output: out/a.onnx, threads: 1}\n"
        + "  - {id: look, stage: inspect}\n"
    )
    steps = steps_of(pipeline)
    assert pipeline.model == tmp_path / "m.onnx"
    assert steps["evaluate"].config.data == tmp_path / "val"
    assert steps["evaluate"].config.threads == 2
    assert steps["int8"].config.calibration == tmp_path / "cal"
    assert steps["int8"].config.threads == 1
    assert steps["int8"].outputs == {"output": tmp_path / "out" / "a.onnx"}
    assert steps["look"].config.threads == 2


def test_the_command_line_replaces_shared_settings_with_paths_as_typed(read):
    pipeline = read(
        HEAD + "  - {stage: evaluate}\n", model=Path("other.onnx"), data=Path("d"), threads=7
    )
    assert pipeline.model == Path("other.onnx")
    assert pipeline.steps[0].config.data == Path("d")
    assert pipeline.steps[0].config.threads == 7


def test_a_step_can_do_without_a_shared_setting(read):
    assert read(HEAD + "  - {stage: benchmark, data: null}\n").steps[0].config.data is None


def test_sources_begin_at_the_yaml_but_addresses_stay(read, tmp_path):
    (step,) = read(HEAD + "  - {stage: detect, sources: [pics, 'http://x/y', /abs/z]}\n").steps
    assert step.config.sources == (str(tmp_path / "pics"), "http://x/y", "/abs/z")


def test_a_step_takes_the_artifact_as_it_stands_unless_it_names_one(read):
    steps = steps_of(
        read(
            HEAD
            + "  - {id: before, stage: evaluate}\n"
            + "  - {id: int8, stage: quantize}\n"
            + "  - {id: after, stage: evaluate}\n"
            + "  - {id: both, stage: benchmark, inputs: [model, int8], baseline: 2}\n"
            + "  - {id: again, stage: evaluate, input: model}\n"
        )
    )
    assert {name: step.inputs for name, step in steps.items()} == {
        "before": (MODEL,),
        "int8": (MODEL,),
        "after": ("int8",),
        "both": (MODEL, "int8"),
        "again": (MODEL,),
    }


def test_an_input_may_stand_further_down(read):
    pipeline = read(
        HEAD
        + "  - {id: after, stage: evaluate, input: int8}\n"
        + "  - {id: before, stage: evaluate, input: model}\n"
        + "  - {id: int8, stage: quantize}\n"
    )
    assert [step.id for step in pipeline.steps] == ["before", "int8", "after"]


@pytest.mark.parametrize(
    ("steps", "problem", "remedy"),
    [
        ("{stage: quantise}", "step 1: unknown stage 'quantise'", "write quantize"),
        ("{id: a, stage: x9}", "step a: unknown stage 'x9'", "use one of: inspect, evaluate"),
        ("{id: a}", "step a: stage is missing", "add `stage:`"),
        ("3", "step 1 holds no settings", "write `- stage: NAME`"),
        ("{id: model, stage: inspect}", "'model' is no id", "and not 'model'"),
        ("{id: a/b, stage: inspect}", "'a/b' is no id", "use letters"),
        ("{id: 7, stage: inspect}", "7 is no id", "use letters"),
        ("{stage: quantize, max_dropp: 1%}", "step quantize: unknown setting max_dropp",
         "write max_drop"),
        ("{stage: evaluate, sha256: 1}", "step evaluate: unknown setting sha256", "use one of: "),
        ("{stage: evaluate, inptu: a}", "step evaluate: unknown setting inptu", "write input"),
        ("{stage: evaluate, limit: some}", "step evaluate: limit: ", "edgecv evaluate --help"),
        ("{stage: evaluate, model: b.onnx}", "model is what `input` names", "`input: model`"),
        ("{stage: quantize, force: true}", "force is said once", "give --force to edgecv run"),
        ("{stage: quantize, report: a.html}", "report is said once", "give --report"),
        ("{stage: evaluate, result: a.txt}", "'a.txt' does not end in .json", "name a JSON file"),
        ("{stage: quantize, output: a.bin}", "output ", "name it a.bin.onnx"),
        ("{stage: quantize, data: null, max_drop: 1%}", "quantize: max_drop needs labelled images",
         "add data DIR"),
        ("{stage: benchmark, inputs: [model], baseline: 2}", "baseline 2 names no model", "1 to 1"),
        ("{stage: evaluate, inputs: [model, model]}", "takes one artifact", "a step for each"),
        ("{stage: evaluate, input: a, inputs: [b]}", "both input and inputs", "keep one"),
        ("{stage: evaluate, input: {a: b}}", "input holds no ids", "write the ids"),
        ("{stage: evaluate, input: int8}", "there is no step called 'int8'", "use one of: model"),
        ("{id: a, stage: quantize, input: a}", "wait for each other: a -> a", "`input: model`"),
    ],
)  # fmt: skip
def test_what_can_not_work_is_refused_with_the_step_and_the_nearest_that_can(
    read, steps, problem, remedy
):
    with pytest.raises(ConfigError) as refused:
        read(HEAD + f"  - {steps}\n")
    assert "pipe.yaml: step" in refused.value.problem
    assert problem in refused.value.problem
    assert remedy in refused.value.remedy


@pytest.mark.parametrize(
    ("steps", "problem", "remedy"),
    [
        (["{id: a, stage: quantize, input: c}", "{id: b, stage: quantize, input: a}",
          "{id: c, stage: quantize, input: b}"], "wait for each other: ", "`input: model`"),
        (["{stage: inspect}", "{stage: inspect}"], "two steps are called inspect", "`id:`"),
        (["{id: a, stage: evaluate}", "{id: b, stage: inspect, input: a}"],
         "its input a is a step that gives no artifact", "name one of: model"),
        (["{id: int8, stage: quantize}", "{id: b, stage: inspect, input: imt8}"],
         "there is no step called 'imt8'", "write int8"),
    ],
)  # fmt: skip
def test_steps_that_do_not_fit_together_are_refused(read, steps, problem, remedy):
    with pytest.raises(ConfigError) as refused:
        read(HEAD + "".join(f"  - {step}\n" for step in steps))
    assert problem in refused.value.problem
    assert remedy in refused.value.remedy


def test_a_cycle_is_named_in_the_order_of_the_work(read):
    with pytest.raises(ConfigError, match=r"b -> a -> b|a -> b -> a"):
        read(
            HEAD + "  - {id: a, stage: quantize, input: b}\n  - {id: b, stage: quantize, input: a}"
        )


@pytest.mark.parametrize(
    ("text", "problem", "remedy"),
    [
        ("", "is no pipeline", "`model: FILE.onnx`"),
        ("- a\n", "is no pipeline", "steps"),
        ("model: a.onnx\n", "it has no steps", "steps"),
        ("model: a.onnx\nsetps: [{stage: inspect}]\n", "unknown setting setps", "write steps"),
        ("model: a.onnx\nsteps: []\n", "it has no steps", "steps"),
        ("model: a.onnx\nsteps: {a: b}\n", "it has no steps", "steps"),
        ("steps: [{stage: inspect}]\n", "model is missing", "--model FILE.onnx"),
        ("modle: a\nsteps: [{stage: inspect}]\n", "unknown setting modle", "write model"),
        ("model: a\nthreads: 0\nsteps: [{stage: inspect}]\n", "threads: ", "correct threads"),
        ('model: "a\\0b"\nsteps: [{stage: inspect}]\n', "line 1: a character", "take it out"),
        ('model: a\nsteps: [{stage: "\\uD800"}]\n', "line 2: a character", "take it out"),
        ("model: [\n", "not valid YAML", "correct it"),
        ("a: &a [b]\nsteps: [*a]\n", "an alias", "write the value out"),
    ],
)
def test_a_file_that_is_no_pipeline_is_refused(read, text, problem, remedy):
    with pytest.raises(UsageError) as refused:
        read(text)
    assert "pipe.yaml" in refused.value.problem
    assert problem in refused.value.problem
    assert remedy in refused.value.remedy
