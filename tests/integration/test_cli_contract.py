"""What scripts rely on, whatever the command: streams, JSON, exit codes, Ctrl-C."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess, Popen

import pytest
from command_line import environment, python, start, wait_for

FAKE = Path(__file__).parents[1] / "fake_command.py"


def run(*args: str) -> CompletedProcess[str]:
    return python(str(FAKE), *args)


def test_tables_go_to_stdout_and_progress_to_stderr():
    done = run("bake", "good", "--minutes", "5")
    assert done.returncode == 0
    assert done.stdout == "baked for 5 minutes\n"
    assert done.stderr.splitlines()[0].startswith("bake: 2 cakes in ")
    assert done.stderr.splitlines()[1:] == ["a note"]


def test_quiet_leaves_the_result_alone():
    done = run("bake", "good", "--quiet")
    assert (done.stdout, done.stderr) == ("baked for 3 minutes\n", "")


def test_json_is_one_object_whatever_native_libraries_print():
    done = run("bake", "noisy", "--json")
    assert json.loads(done.stdout) == {
        "schema": "edgecv.bake/1",
        "edgecv": json.loads(done.stdout)["edgecv"],
        "minutes": 3,
    }
    assert done.stdout.count("\n") == 1
    for line in ("a native library says hello", "and so does print", "baked for 3 minutes"):
        assert line in done.stderr


def test_json_and_quiet_print_json_alone():
    done = run("bake", "good", "--json", "--quiet")
    assert json.loads(done.stdout)["minutes"] == 3
    assert done.stderr == ""


def test_json_goes_into_a_file_while_stderr_is_a_pipe(tmp_path):
    script = 'exec "$0" "$@" > out.json'
    done = subprocess.run(
        ["bash", "-c", script, sys.executable, str(FAKE), "bake", "noisy", "--json"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")
    assert json.loads((tmp_path / "out.json").read_text())["minutes"] == 3
    assert "a native library says hello" in done.stderr


@pytest.mark.parametrize(
    ("args", "code", "kind", "problem", "remedy"),
    [
        pytest.param(["bake", "bad"], 1, "data", "no flour in 'pantry'", "buy some", id="data"),
        pytest.param(["bake", "full"], 1, "system", "cake.onnx: No space left", "free", id="disk"),
        pytest.param(
            ["bake", "bug"], 1, "bug", "this is a bug of edgecv: Zero", "report", id="bug"
        ),
        pytest.param(["bake", "odd"], 2, "config", "MODE: should be 'good'", "MODE", id="choice"),
        pytest.param(
            ["bake", "good", "--minutes", "0"], 2, "config", "--minutes: should", "--", id="range"
        ),
        pytest.param(["bake"], 2, "usage", "Missing argument 'MODE'", "bake --help", id="missing"),
        pytest.param(["bake", "good", "--mintes", "1"], 2, "usage", "No such", "--help", id="typo"),
        pytest.param(["bale"], 2, "usage", "No such command 'bale'. Did", "--help", id="command"),
        pytest.param(
            ["bake", "good", "--config", "no.yaml"], 2, "config", "no.yaml", "", id="yaml"
        ),
    ],
)
def test_failures_are_two_lines_and_one_object(args, code, kind, problem, remedy):
    words, as_json = run(*args, "--quiet"), run(*args, "--json", "--quiet")
    assert words.returncode == as_json.returncode == code
    first, second = words.stderr.splitlines()
    assert first.startswith(f"error: {problem}")
    assert second.startswith("  fix: ")
    assert remedy in second
    assert words.stdout == ""
    error = json.loads(as_json.stdout)["error"]
    assert error == {
        "kind": kind,
        "problem": first.removeprefix("error: "),
        "remedy": second.removeprefix("  fix: "),
    }


def test_a_refused_gate_shows_the_result_and_exits_3():
    words, as_json = run("bake", "gate", "--quiet"), run("bake", "gate", "--json")
    assert words.returncode == as_json.returncode == 3
    assert words.stdout == "baked for 3 minutes\n"
    assert words.stderr == "error: burnt\n  fix: bake shorter\n"
    result = json.loads(as_json.stdout)
    assert (result["minutes"], result["saved"]) == (3, None)


def test_the_traceback_of_a_bug_is_for_verbose():
    assert "Traceback" not in run("bake", "bug").stderr
    assert "Traceback" in run("bake", "bug", "--verbose").stderr


def test_settings_come_from_yaml_and_flags_win(tmp_path):
    file = tmp_path / "bake.yaml"
    file.write_text("minutes: 7\n")
    assert "7 minutes" in run("bake", "good", "--config", str(file)).stdout
    assert "9 minutes" in run("bake", "good", "--config", str(file), "--minutes", "9").stdout


def test_help_shows_the_fields_defaults_and_examples():
    help_text = run("bake", "--help").stdout
    for part in ("Usage: edgecv bake [OPTIONS] MODE", "--minutes N", "Minutes. [default: 3]"):
        assert part in help_text
    assert help_text.endswith("Examples:\n  edgecv bake good\n  edgecv bake x\n")


def started(mode: str, folder: Path) -> Popen[str]:
    flag = folder / "started"
    process = start([FAKE, "bake", mode, "--started", flag])
    wait_for(flag, process)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_ctrl_c_stops_work_that_polls(tmp_path, number):
    process = started("wait", tmp_path)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-2].startswith("error: interrupted")
    assert "Traceback" not in errors


def test_a_second_ctrl_c_stops_work_that_does_not_poll(tmp_path):
    process = started("ignore", tmp_path)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while "Ctrl-C again" not in (line := process.stderr.readline()):
        assert line, "ended without a word"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[0].startswith("error: interrupted")


def test_a_reader_that_went_away_is_no_traceback():
    process = start([FAKE, "bake", "good"])
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    errors = process.stderr.read()
    process.stderr.close()
    process.wait(timeout=60)
    assert "Traceback" not in errors
    assert "Exception ignored" not in errors
