"""A missing package or library is named with the line that installs it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgecv_cli.core import require as subject
from edgecv_cli.core.errors import MissingDependencyError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """Return a function that makes a module whose import runs the given line."""

    def make(name, line):
        (tmp_path / f"{name}.py").write_text(line)
        monkeypatch.delitem(sys.modules, name, raising=False)

    monkeypatch.syspath_prepend(tmp_path)
    return make


def test_an_installed_module_comes_back():
    assert subject.require("json.decoder", pip="x", why="x").JSONDecoder


def test_an_absent_module_names_its_package():
    with pytest.raises(MissingDependencyError) as caught:
        subject.require("no_such_module", pip="no-such", why="nothing")
    assert caught.value.remedy == "pip install no-such"
    assert caught.value.problem.startswith("nothing needs")


def test_a_module_that_lacks_another_is_not_called_absent(broken):
    broken("half", "import no_such_module")
    with pytest.raises(MissingDependencyError, match="no_such_module") as caught:
        subject.require("half", pip="half", why="a test")
    assert "is installed but can't be loaded" in caught.value.problem
    assert "--force-reinstall half" in caught.value.remedy


def test_opencv_that_is_absent(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingDependencyError) as caught:
        subject.cv2()
    assert caught.value.remedy == "pip install opencv-python"


@pytest.mark.parametrize("library", ["libGL.so.1", "libgthread-2.0.so.0"])
def test_opencv_that_lacks_a_system_library(broken, library):
    broken("cv2", f"raise ImportError('{library}: cannot open shared object file')")
    with pytest.raises(MissingDependencyError, match=library) as caught:
        subject.cv2()
    assert "apt-get install libgl1 libglib2.0-0" in caught.value.remedy
    assert "opencv-python-headless" in caught.value.remedy


def test_opencv_broken_otherwise_is_reinstalled(broken):
    broken("cv2", "raise ImportError('numpy is too old')")
    with pytest.raises(MissingDependencyError, match="numpy is too old") as caught:
        subject.cv2()
    assert "--force-reinstall opencv-python" in caught.value.remedy


def test_no_engine_writes_an_identifier_of_the_machine_down(tmp_path):
    """In a process of its own: the engine looks for its switch when it is loaded."""
    code = (
        "from edgecv_cli.core.require import require\n"
        "require('onnxruntime', pip='onnxruntime', why='running')"
    )
    home = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    home.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run([sys.executable, "-c", code], check=True, env=home, cwd=ROOT)
    assert list(tmp_path.iterdir()) == []
