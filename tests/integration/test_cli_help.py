"""The entry point: help, version, completion, and what they must not import."""

import pytest
from command_line import edgecv, python

from edgecv_cli.cli.main import COMMANDS
from edgecv_cli.core.version import __version__

HEAVY = {"numpy", "onnx", "onnx_ir", "onnxruntime", "cv2", "pycocotools", "rich", "yaml"}


def imported(*args: str) -> set[str]:
    """Return the top-level modules that a command line imports."""
    script = (
        "import sys\n"
        "from edgecv_cli.cli.main import run\n"
        "code = run(sys.argv[1:])\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    done = python("-c", script, *args)
    assert done.returncode == 0
    return {name.partition(".")[0] for name in done.stderr.splitlines()}


def test_help_lists_every_command_with_a_line():
    done = edgecv("--help")
    assert done.returncode == 0
    for name, (_, line) in COMMANDS.items():
        assert f"  {name}" in done.stdout
        assert line in done.stdout


def test_nothing_asked_for_is_help():
    assert edgecv().stdout == edgecv("--help").stdout


@pytest.mark.parametrize("flag", ["--version", "-v"])
def test_version(flag):
    assert edgecv(flag).stdout == f"edgecv {__version__}\n"


def test_help_imports_nothing_heavy():
    assert not imported("--help") & (HEAVY | {"pydantic"})


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_of_a_command_imports_nothing_heavy_and_shows_examples(command):
    assert not imported(command, "--help") & HEAVY
    text = edgecv(command, "--help").stdout
    assert text.startswith(f"Usage: edgecv {command} [OPTIONS]")
    examples = text.partition("Examples:\n")[2].splitlines()
    assert 2 <= len(examples) <= 4
    assert all(example.startswith(f"  edgecv {command}") for example in examples)
    for shared in ("--json", "--quiet", "--verbose", "--config", "--help"):
        assert shared in text


def test_shell_completion_knows_commands_and_choices():
    completed = edgecv(_EDGECV_COMPLETE="complete_bash", COMP_WORDS="edgecv quan", COMP_CWORD="1")
    assert completed.stdout.split() == ["quantize"]
    choices = edgecv(
        _EDGECV_COMPLETE="complete_bash",
        COMP_WORDS="edgecv quantize --prefer ",
        COMP_CWORD="3",
    )
    assert choices.stdout.split() == ["accuracy", "balanced", "speed"]


def test_completion_can_be_installed():
    assert "--install-completion" in edgecv("--help").stdout
