"""Environments of their own: whole or not there, offline where asked, gone when interrupted."""

from __future__ import annotations

import json
import os
import stat
import sys
from dataclasses import replace

import pytest

from edgecv_cli.core import side_environment as side
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import (
    ChildFailureError,
    EdgeCVError,
    InterruptedByUser,
    MissingDependencyError,
    OutputError,
)
from edgecv_cli.core.side_environment import SideEnvironment, install, installed, run_script

ENVIRONMENT = SideEnvironment("tflite", ("one==1.0", "two==2.5"), (3, 8), (3, 99))

# A Python that makes environments of itself, and whose pip notes what it was asked for.
PYTHON = """#!/bin/sh
echo "$@" >> "$LOG"
case "$*" in
  *"-m venv"*) for last; do :; done
    mkdir -p "$last/bin" && cp "$0" "$last/bin/python" ;;
  *two==2.5*) {two} ;;
esac
"""


@pytest.fixture
def python(tmp_path, monkeypatch):
    def make(two="true"):
        path = tmp_path / "python-stand-in"
        path.write_text(PYTHON.format(two=two))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr(side, "find_python", lambda _environment: path)

    monkeypatch.setenv("EDGECV_TARGETS_HOME", str(tmp_path / "targets"))
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    make()
    return make


def asked(tmp_path):
    return (tmp_path / "log").read_text().splitlines()


def test_every_package_is_installed_alone_and_nothing_is_built(python, tmp_path):
    assert installed(ENVIRONMENT) is None

    assert install(ENVIRONMENT, Context()) == {"one": "1.0", "two": "2.5"}

    assert installed(ENVIRONMENT) == {"one": "1.0", "two": "2.5"}
    lines = asked(tmp_path)
    assert len(lines) == 3
    assert all("--no-deps" in line and "--only-binary :all:" in line for line in lines[1:])
    assert not any("--no-index" in line for line in lines)


def test_a_wheelhouse_means_no_network(python, tmp_path):
    wheels = tmp_path / "wheels"
    wheels.mkdir()

    install(ENVIRONMENT, Context(), wheelhouse=wheels)

    assert all(f"--no-index --find-links {wheels}" in line for line in asked(tmp_path)[1:])
    with pytest.raises(EdgeCVError, match="no folder"):
        install(ENVIRONMENT, Context(), wheelhouse=tmp_path / "none", force=True)


def test_what_is_there_is_not_made_again_but_by_force(python, tmp_path):
    install(ENVIRONMENT, Context())
    install(ENVIRONMENT, Context())
    assert len(asked(tmp_path)) == 3

    install(ENVIRONMENT, Context(), force=True)
    assert len(asked(tmp_path)) == 6


@pytest.mark.parametrize(
    ("two", "error", "said"),
    [
        ("echo ERROR: no way; exit 1", EdgeCVError, "no way"),
        ("echo 'ERROR: No matching distribution found'; exit 1", EdgeCVError, "two==2.5"),
        ("echo '[Errno 28] No space left on device'; exit 1", OutputError, "no space left"),
    ],
)
def test_a_package_that_fails_leaves_nothing(python, two, error, said):
    python(two)

    with pytest.raises(error, match=said) as caught:
        install(ENVIRONMENT, Context())

    assert caught.value.remedy
    assert installed(ENVIRONMENT) is None
    assert not ENVIRONMENT.folder.exists()


def test_an_interrupted_install_leaves_nothing(python):
    python("sleep 60")
    context = Context()
    polls = 0

    class Soon(type(context.cancel)):
        def check(self):
            nonlocal polls
            polls += 1
            if polls > 6 and (ENVIRONMENT.folder / "bin").exists():
                self.set()
            super().check()

    with pytest.raises(InterruptedByUser):
        install(ENVIRONMENT, replace(context, cancel=Soon()))
    assert not ENVIRONMENT.folder.exists()


def test_a_half_made_environment_is_never_used_and_made_anew(python):
    (ENVIRONMENT.folder / "bin").mkdir(parents=True)
    (ENVIRONMENT.folder / "left").touch()

    assert installed(ENVIRONMENT) is None
    with pytest.raises(MissingDependencyError) as caught:
        run_script(ENVIRONMENT, ENVIRONMENT.folder, [], Context(), name="x", seconds=1)
    assert caught.value.remedy == "edgecv targets install tflite"

    install(ENVIRONMENT, Context())
    assert not (ENVIRONMENT.folder / "left").exists()


@pytest.mark.parametrize("marker", ["", "[]", '{"kind": "other"}', '{"kind": "edgecv.target/1"}'])
def test_a_marker_that_is_none_is_no_environment(python, marker):
    install(ENVIRONMENT, Context())
    (ENVIRONMENT.folder / "edgecv-target.json").write_text(marker)
    assert installed(ENVIRONMENT) is None


def test_other_requirements_are_another_environment_and_replace_the_old(python):
    newer = replace(ENVIRONMENT, requirements=("one==1.1",))
    install(ENVIRONMENT, Context())
    assert installed(newer) is None

    install(newer, Context())

    assert not ENVIRONMENT.folder.exists()
    assert installed(newer) == {"one": "1.1"}


def test_a_folder_that_cant_be_written_to_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("EDGECV_TARGETS_HOME", str(tmp_path / "file" / "targets"))
    with pytest.raises(OutputError):
        install(ENVIRONMENT, Context())


def test_it_stands_in_the_users_data(monkeypatch, tmp_path):
    monkeypatch.delenv("EDGECV_TARGETS_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert side.targets_home() == tmp_path / "edgecv" / "targets"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert side.targets_home() == tmp_path / ".local" / "share" / "edgecv" / "targets"


def test_no_python_that_fits_is_said(monkeypatch):
    monkeypatch.setenv("PATH", "")
    future = replace(ENVIRONMENT, oldest=(3, 98))
    with pytest.raises(MissingDependencyError, match=r"need Python 3\.98"):
        side.find_python(future)


class TestScripts:
    @pytest.fixture(autouse=True)
    def _made(self, monkeypatch, tmp_path):
        monkeypatch.setenv("EDGECV_TARGETS_HOME", str(tmp_path / "targets"))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        folder = ENVIRONMENT.folder
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "python").symlink_to(sys.executable)
        marker = {"kind": "edgecv.target/1", "packages": {"one": "1"}}
        (folder / "edgecv-target.json").write_text(json.dumps(marker))
        self.folder = tmp_path

    def run(self, code, *arguments, seconds=20.0):
        script = self.folder / "script.py"
        script.write_text(code)
        return run_script(
            ENVIRONMENT, script, arguments, Context(), name="converting", seconds=seconds
        )

    def test_a_script_has_its_arguments_and_neither_our_path_nor_our_variables(self):
        code = (
            "import os, sys; print(sys.argv[1:], os.environ.get('PYTHONPATH'), "
            "os.environ['PATH'].split(':')[0], os.environ['DO_NOT_TRACK'])"
        )
        said = self.run(code, "a", "b")
        assert said == f"['a', 'b'] None {ENVIRONMENT.folder / 'bin'} 1"
        assert os.environ["PYTHONPATH"]

    @pytest.mark.parametrize(
        ("code", "reason", "said"),
        [
            ("raise SystemExit('no such operator')", "error", "no such operator"),
            ("import os; os.abort()", "crashed", "signal 6"),
            ("raise MemoryError", "oom", "memory"),
        ],
    )
    def test_how_it_failed_is_said(self, code, reason, said):
        with pytest.raises(ChildFailureError, match=said) as caught:
            self.run(code)
        assert caught.value.reason == reason
        assert caught.value.remedy

    def test_one_that_hangs_is_ended(self):
        with pytest.raises(ChildFailureError, match="no answer") as caught:
            self.run("import time; time.sleep(60)", seconds=0.3)
        assert caught.value.reason == "hung"
