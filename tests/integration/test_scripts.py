"""The two commands of a fresh machine: what they say when its Python won't do."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("sh", "cat", "dirname", "cksum", "mktemp", "rm")


@pytest.fixture
def machine(tmp_path):
    """Return a function that runs a script where ``python3`` is the given shell script."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in TOOLS:
        (tools / name).symlink_to(shutil.which(name))

    def run(script, python3=None):
        if python3 is not None:
            (tools / "python3").write_text(f"#!{tools}/sh\n{python3}\n")
            (tools / "python3").chmod(0o755)
        return subprocess.run(
            [tools / "sh", ROOT / "scripts" / script],
            env={"PATH": str(tools), "EDGECV_VENV": str(tmp_path / "venv")},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.mark.parametrize("script", ["demo", "test"])
def test_a_python_that_is_too_old_is_named_with_the_remedy(machine, script):
    done = machine(script, 'case $1 in --version) echo "Python 3.8.10" ;; *) exit 1 ;; esac')
    assert done.returncode == 1
    assert "Python 3.11 or newer" in done.stderr
    assert "this machine has Python 3.8.10" in done.stderr
    assert "apt-get install python3.11" in done.stderr
    assert done.stdout == ""


def test_no_python_at_all_is_said(machine):
    done = machine("demo")
    assert done.returncode == 1
    assert "this machine has no python3" in done.stderr


def test_a_python_without_venv_is_named_with_the_remedy(machine, tmp_path):
    done = machine("demo", "case $2 in *version_info*) exit 0 ;; *) exit 1 ;; esac")
    assert done.returncode == 1
    assert "lacks venv or ensurepip" in done.stderr
    assert "apt-get install python3-venv" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_a_failed_install_is_not_taken_for_done(machine, tmp_path):
    # The environment is made, as a folder, but its pip fails.
    made = tmp_path / "venv" / "bin"
    made.mkdir(parents=True)
    (made / "python").write_text(
        '#!/bin/sh\ncase "$*" in *install*) echo no network >&2; exit 1 ;; esac\n'
    )
    (made / "python").chmod(0o755)
    done = machine("demo")
    assert done.returncode == 1
    assert "pip could not install edgecv" in done.stderr
    assert sorted(path.name for path in (tmp_path / "venv").iterdir()) == ["bin"]


@pytest.mark.parametrize("name", ["scripts/env.sh", "scripts/demo", "scripts/test"])
def test_the_scripts_are_posix_shell(name):
    shell = shutil.which("dash") or shutil.which("sh")
    checked = subprocess.run([shell, "-n", ROOT / name], capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr
