"""The CI templates: every command line in them parses, and their scripts run as written."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import cv2
import onnx
import pytest
import yaml
from command_line import ROOT, environment
from models import yolov8
from scenes import scene, write_dataset

from edgecv_cli.cli.main import COMMANDS
from edgecv_cli.config.run import RunConfig
from edgecv_cli.pipeline.read import read_pipeline

FOLDER = ROOT / "docs" / "ci"
GITHUB = yaml.safe_load((FOLDER / "github-actions.yml").read_text())
GITLAB = yaml.safe_load((FOLDER / "gitlab-ci.yml").read_text())
PIPELINE = yaml.safe_load((FOLDER / "pipeline.yaml").read_text())
CONTAINERFILE = (ROOT / "Containerfile").read_text()

(GITHUB_JOB,) = GITHUB["jobs"].values()
GITLAB_JOB = GITLAB["edgecv"]
STEPS = {step["name"]: step for step in GITHUB_JOB["steps"] if "run" in step}
SCRIPTS = {
    "github": "\n".join(step["run"] for step in STEPS.values()),
    "gitlab": "\n".join(GITLAB_JOB["before_script"] + GITLAB_JOB["script"]),
    "container": "\n".join(re.findall(r"^RUN (edgecv .*)$", CONTAINERFILE, re.MULTILINE)),
}


def command_lines(script):
    """Return the arguments of each edgecv call, without what the shell keeps for itself."""
    for line in script.splitlines():
        if line.startswith("edgecv "):
            words = shlex.split(line)[1:]
            yield words[: words.index(">")] if ">" in words else words


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_command_line_parses(name):
    lines = list(command_lines(SCRIPTS[name]))
    assert lines
    for command, *rest in lines:
        module = importlib.import_module(COMMANDS[command][0])
        context = module.COMMAND.build(command).make_context(command, rest)
        given = {key: value for key, value in context.params.items() if value is not None}
        module.COMMAND.config.from_options(
            **{key: given[key] for key in given.keys() & module.COMMAND.config.model_fields.keys()}
        )


def test_the_example_pipeline_is_one(tmp_path):
    pipeline = read_pipeline(RunConfig(pipeline=FOLDER / "pipeline.yaml"))
    assert [step.id for step in pipeline.steps] == ["int8", "accuracy"]
    published = Path(PIPELINE["steps"][0]["output"])
    assert f"{published.parent}/" in uploads()[0]


def uploads():
    """Return what each template publishes, as folder names."""
    (step,) = [s for s in GITHUB_JOB["steps"] if "upload-artifact" in s.get("uses", "")]
    assert step["if"] == "always()"
    assert GITLAB_JOB["artifacts"]["when"] == "always"
    return [step["with"]["path"].split(), GITLAB_JOB["artifacts"]["paths"]]


def test_the_templates_are_what_the_services_read():
    # YAML 1.1 reads a bare `on` as true; GitHub knows.
    assert set(GITHUB) == {"name", True, "permissions", "env", "jobs"}
    assert GITHUB["permissions"] == {"contents": "read"}
    for step in GITHUB_JOB["steps"]:
        assert ("run" in step) != bool(re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "")))
    assert GITLAB_JOB["stage"] in GITLAB["stages"]
    assert uploads()[0] == uploads()[1]
    assert GITLAB_JOB["artifacts"]["reports"]["junit"] in SCRIPTS["gitlab"]
    assert GITHUB["env"].keys() <= GITLAB["variables"].keys()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A checkout with a tiny detector; edgecv is this one, and pip has nothing to do."""
    folder = tmp_path_factory.mktemp("project")
    for name, text in {
        "edgecv": f'exec "{sys.executable}" -m edgecv_cli "$@"',
        "pip": "exit 0",
    }.items():
        program = folder / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    (folder / "models").mkdir()
    onnx.save(yolov8(planted=True), folder / "models" / "detector.onnx")
    write_dataset(folder / "data" / "validation", images=4)
    (folder / "data" / "calibration").mkdir()
    for index in range(4):
        cv2.imwrite(str(folder / "data" / "calibration" / f"{index}.png"), scene(seed=index)[0])
    write_pipeline(folder / "pipeline.yaml")
    return folder


def write_pipeline(file, **changes):
    """Write the example with a search that is as short as can be."""
    quantize, evaluate = PIPELINE["steps"]
    quick = {"max_drop": "60%", "placement": "last", "speed_seconds": 0.1, "images": 4,
             "bias_correction": "off", "estimator": "minmax",
             "adaptive_rounding": "off", "equalisation": "off"}  # fmt: skip
    steps = [{**quantize, **quick, **changes}, evaluate]
    file.write_text(yaml.safe_dump({**PIPELINE, "steps": steps}))


def execute(script, folder, **variables):
    """Run a script as both services do: bash that ends at the first failure."""
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    env = environment(PATH=path, PIPELINE="pipeline.yaml", EDGECV="edgecv", **variables)
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def passed(project):
    """The GitHub job's steps, but for the summary, on the tiny detector."""
    script = "\n".join(step["run"] for name, step in STEPS.items() if name != "Summarize")
    return execute(script, project)


def test_the_github_job_publishes_artifact_manifest_junit_and_report(project, passed):
    assert passed.returncode == 0, passed.stderr
    assert (project / "artifact" / "detector-int8.onnx").is_file()
    manifest = json.loads((project / "results" / "manifest.json").read_text())
    assert [step["status"] for step in manifest["steps"]] == ["done", "done"]
    assert len(manifest["steps"][0]["sha256"]) == 64
    suite = ET.parse(project / "results" / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "0", "0")
    assert "<html" in (project / "results" / "report.html").read_text()
    assert all((project / path).is_dir() for path in uploads()[0])


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_the_summary_shows_steps_and_errors(project, passed, tmp_path):
    def summary(manifest):
        (tmp_path / "results").mkdir(exist_ok=True)
        (tmp_path / "results" / "manifest.json").write_text(json.dumps(manifest))
        file = tmp_path / "summary.md"
        file.unlink(missing_ok=True)
        done = execute(STEPS["Summarize"]["run"], tmp_path, GITHUB_STEP_SUMMARY=str(file))
        assert done.returncode == 0, done.stderr
        return file.read_text().splitlines()

    lines = summary(json.loads((project / "results" / "manifest.json").read_text()))
    assert len(lines) == 4
    assert lines[2].startswith("| int8 | done | ")
    error = {"kind": "model", "problem": "it is broken", "remedy": "mend it"}
    assert summary({"error": error})[-1] == "**it is broken** mend it"


def test_the_gitlab_job_finds_the_finished_steps(project, passed):
    done = execute("\n".join(GITLAB_JOB["script"]), project)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((project / "results" / "manifest.json").read_text())
    assert [step["status"] for step in manifest["steps"]] == ["cached", "cached"]
    assert (project / GITLAB_JOB["artifacts"]["reports"]["junit"]).is_file()


def test_a_gate_that_is_not_met_ends_the_job_with_3_and_says_why(project, passed, tmp_path):
    for name in ("bin", "models", "data"):
        (tmp_path / name).symlink_to(project / name)
    write_pipeline(tmp_path / "pipeline.yaml", min_speedup=1000)
    done = execute("\n".join(GITLAB_JOB["script"]), tmp_path)
    assert done.returncode == 3, done.stderr
    manifest = json.loads((tmp_path / "results" / "manifest.json").read_text())
    assert [step["status"] for step in manifest["steps"]] == ["rejected", "skipped"]
    suite = ET.parse(tmp_path / "results" / "junit.xml").getroot()[0]
    assert (suite.get("failures"), suite.get("skipped")) == ("1", "1")
    assert (tmp_path / "results" / "report.html").is_file()
    assert not (tmp_path / "artifact").exists()


def instructions():
    """Return the Containerfile as (instruction, rest) pairs, continuation lines joined."""
    joined = re.sub(r"\\\n\s*", "", CONTAINERFILE)
    lines = [line for line in joined.splitlines() if line and not line.startswith("#")]
    return [tuple(line.split(" ", 1)) for line in lines]


class TestContainerfile:
    def test_it_copies_what_is_there_and_all_that_the_build_needs(self):
        sources = [
            word
            for name, rest in instructions()
            if name == "COPY" and not rest.startswith("--from")
            for word in rest.split()[:-1]
        ]
        assert all((ROOT / source).exists() for source in sources)
        project = (ROOT / "pyproject.toml").read_text()
        for needed in ("README.md", "LICENSE", "edgecv_cli", "calibration_data", "configs"):
            assert needed in project
            assert needed in sources

    def test_it_ends_as_a_user_without_rights_after_a_smoke_test(self):
        names = [name for name, _ in instructions()]
        user = next(rest for name, rest in instructions() if name == "USER")
        assert user != "root"
        smoke = max(i for i, (name, rest) in enumerate(instructions()) if "edgecv doctor" in rest)
        assert names.index("USER") < smoke < names.index("ENTRYPOINT")

    def test_one_distribution_of_opencv_is_left_and_no_cache(self):
        (build,) = [rest for name, rest in instructions() if "pip install" in rest]
        removed = build.index("pip uninstall -y opencv-python")
        assert build.index("pip install --no-cache-dir -c constraints.txt .") < removed
        assert removed < build.index('"opencv-python-headless>=4.9"')
        assert build.count("pip install") == build.count("--no-cache-dir")

    def test_its_python_is_one_that_edgecv_takes(self):
        images = {rest.split()[0] for name, rest in instructions() if name == "FROM"}
        assert images == {"docker.io/library/python:3.11-slim-bookworm"}
