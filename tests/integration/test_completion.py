"""Shell completion, driven through the environment as bash, zsh and fish drive it."""

from __future__ import annotations

import json

import pytest
from command_line import python

from edgecv_cli.cli.main import COMMANDS
from edgecv_cli.config import common, doctor
from edgecv_cli.measure.hardware import ENGINE_DISTRIBUTIONS
from edgecv_cli.runtime.opening import ENGINES

# A command line up to the cursor, and what must be among the answers.
ANSWERS = {
    "edgecv ": {*COMMANDS},
    "edgecv quantize --pre": {"--precision", "--prefer"},
    "edgecv quantize m.onnx --target ": {"cpu", "cpu-x86", "cpu-x86-vnni"},
    "edgecv quantize m.onnx --precision ": {"int8", "auto"},
    "edgecv quantize m.onnx --prefer b": {"balanced"},
    "edgecv benchmark a.onnx b.onnx --engine ": {"onnxruntime"},
    "edgecv doctor --require onnx": {"onnxruntime"},
    "edgecv inspect --j": {"--json"},
}
# Where a file stands, edgecv answers nothing and the shell completes file names.
FILES = ("edgecv inspect mo", "edgecv quantize m.onnx -o ", "edgecv evaluate m.onnx --data ")

# The whole protocol for each environment, all in one process.
MANY = """
import io, json, os, sys
from contextlib import redirect_stdout
from edgecv_cli.cli import main
asked, sys.argv[1:] = json.loads(sys.argv[1]), []
answers = []
for variables in asked:
    os.environ.update(variables)
    out, code = io.StringIO(), None
    with redirect_stdout(out):
        try:
            main.main()
        except SystemExit as ended:
            code = ended.code
    answers.append([out.getvalue(), code])
heavy = {"numpy", "onnx", "cv2", "onnxruntime", "yaml"} & set(sys.modules)
print(json.dumps([answers, sorted(heavy), sys.modules.get("rich") is None]))
"""


def bash(line):
    words = line.split(" ")
    return {
        "_EDGECV_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }


def zsh(line):
    return {"_EDGECV_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": line}


def fish(action, line):
    return {
        "_EDGECV_COMPLETE": "complete_fish",
        "_TYPER_COMPLETE_FISH_ACTION": action,
        "_TYPER_COMPLETE_ARGS": line,
    }


ASKED = {
    **{line: bash(line) for line in (*ANSWERS, *FILES)},
    "zsh": zsh("edgecv quantize --pref"),
    "zsh file": zsh("edgecv inspect "),
    "fish": fish("get-args", "edgecv quan"),
    "fish yes": fish("is-args", "edgecv quan"),
    "fish file": fish("is-args", "edgecv inspect "),
    **{
        shell: {"_EDGECV_COMPLETE": shell} for shell in ("source_bash", "source_zsh", "source_fish")
    },
}


@pytest.fixture(scope="module")
def answered():
    """What was said and the exit code by question, then what was imported for it."""
    done = python("-c", MANY, json.dumps(list(ASKED.values())))
    assert done.returncode == 0, done.stderr
    answers, heavy, plain = json.loads(done.stdout)
    return {**dict(zip(ASKED, answers, strict=True)), "heavy": heavy, "plain": plain}


@pytest.mark.parametrize("line", ANSWERS)
def test_bash(answered, line):
    said = answered[line][0].split()
    assert set(said) >= ANSWERS[line]
    assert all(word.startswith(line.rpartition(" ")[2]) for word in said)


@pytest.mark.parametrize("line", FILES)
def test_files_are_left_to_the_shell(answered, line):
    assert answered[line][0].strip() == ""


def test_completing_imports_nothing_heavy(answered):
    assert answered["heavy"] == []
    assert answered["plain"]


def test_zsh_gets_values_with_their_help(answered):
    said, _ = answered["zsh"]
    assert "_arguments" in said
    assert '"--prefer":"' in said
    assert "[default" in said
    assert answered["zsh file"][0].strip() == "_files"


def test_fish_asks_first_whether_there_are_answers(answered):
    assert answered["fish"][0].split("\t")[0] == "quantize"
    assert (answered["fish yes"][1] or 0, answered["fish file"][1]) == (0, 1)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(answered, shell):
    said, _ = answered[f"source_{shell}"]
    assert f"_EDGECV_COMPLETE=complete_{shell}" in said


def test_completed_engines_are_those_that_there_are():
    assert tuple(engine.name for engine in ENGINES) == common.ENGINES
    assert tuple(ENGINE_DISTRIBUTIONS) == doctor.ENGINES
