"""Shell completion, driven as bash, zsh and fish drive it."""

from __future__ import annotations

import re
import shlex

import pytest
from command_line import edgecv, python

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

# All lines in one process, each through the whole protocol.
MANY = """
import io, json, os, sys
from contextlib import redirect_stdout
from edgecv_cli.cli import main
answers = {}
for line in json.loads(sys.argv[1]):
    words = line.split(" ")
    os.environ.update(_EDGECV_COMPLETE="complete_bash", COMP_WORDS=line,
                      COMP_CWORD=str(len(words) - 1))
    out = io.StringIO()
    sys.argv[1:] = []
    with redirect_stdout(out):
        try:
            main.main()
        except SystemExit:
            pass
    answers[line] = out.getvalue().split()
heavy = {"numpy", "onnx", "cv2", "onnxruntime", "yaml"} & set(sys.modules)
print(json.dumps([answers, sorted(heavy), sys.modules.get("rich") is None]))
"""


@pytest.fixture(scope="module")
def answered():
    import json

    done = python("-c", MANY, json.dumps([*ANSWERS, *FILES]))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("line", ANSWERS)
def test_bash(answered, line):
    said = answered[0][line]
    assert set(said) >= ANSWERS[line]
    assert all(word.startswith(line.rpartition(" ")[2]) for word in said)


@pytest.mark.parametrize("line", FILES)
def test_files_are_left_to_the_shell(answered, line):
    assert answered[0][line] == []


def test_completing_imports_nothing_heavy(answered):
    assert answered[1:] == [[], True]


def test_zsh_gets_values_with_their_help():
    line = "edgecv quantize --pref"
    done = edgecv(_EDGECV_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS=line)
    assert "_arguments" in done.stdout
    assert '"--prefer":"' in done.stdout
    assert "[default" in done.stdout
    files = edgecv(_EDGECV_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS="edgecv inspect ")
    assert files.stdout.strip() == "_files"


def test_fish_asks_first_whether_there_are_answers():
    def ask(action, line):
        return edgecv(
            _EDGECV_COMPLETE="complete_fish",
            _TYPER_COMPLETE_FISH_ACTION=action,
            _TYPER_COMPLETE_ARGS=line,
        )

    assert ask("get-args", "edgecv quan").stdout.split("\t")[0] == "quantize"
    assert ask("is-args", "edgecv inspect ").returncode == 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell):
    done = edgecv(_EDGECV_COMPLETE=f"source_{shell}")
    assert f"_EDGECV_COMPLETE=complete_{shell}" in done.stdout
    assert re.search(r"\bedgecv\b", done.stdout)
    assert shlex.split(done.stdout, comments=True)


def test_completed_engines_are_those_that_there_are():
    assert tuple(engine.name for engine in ENGINES) == common.ENGINES
    assert tuple(ENGINE_DISTRIBUTIONS) == doctor.ENGINES
