"""Libraries that crash, hang or refuse are answers; this machine's own are tried once."""

from __future__ import annotations

import cv2
import onnxruntime
import pytest

from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import InterruptedByUser
from edgecv_cli.measure.doctor import probes
from edgecv_cli.measure.doctor.probes import ChildProbe
from edgecv_cli.measure.doctor.snapshot import look


@pytest.fixture(scope="module")
def here():
    """This machine, looked at once."""
    return look(Context())


def test_this_machines_libraries_work(here):
    assert [one for one in here.modules if one.problem] == []
    assert here.runtime.ran
    assert set(here.runtime.providers) == set(onnxruntime.get_available_providers())
    assert here.engines[0].available
    assert here.engines[0].version == onnxruntime.__version__
    assert here.machine.cores == here.host.cores_usable


def test_this_machines_opencv_is_described(here):
    assert here.video.opencv == cv2.__version__
    assert here.video.images["png"]
    assert {one.fourcc for one in here.video.encoders if one.works} & {"mp4v", "MJPG"}


def test_encoders_that_do_not_open_say_so():
    with ChildProbe() as probe:
        answer = probe.ask("encoder", {"folder": "/nowhere", "fourcc": "mp4v", "suffix": ".mp4"})
    assert answer == {"works": False, "problem": "does not open"}


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """Return a function that puts modules of our own in the way of the child's."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(text)

    return write


def test_a_library_that_crashes_is_an_answer_and_the_next_question_is_answered(broken):
    broken("crashing", "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    broken("leaving", "import os, sys\nsys.stderr.write('no licence')\nos._exit(3)\n")
    broken("refusing", "raise ImportError('libGL.so.1: cannot open shared object file\\nmore')\n")
    broken("fine", "__version__ = '7.1'\n")
    with ChildProbe() as probe:
        answers = {
            name: probe.ask("module", {"name": name})
            for name in ("crashing", "leaving", "refusing", "fine", "nothing")
        }
    assert answers["crashing"] == {"problem": "crashed with SIGSEGV"}
    assert answers["leaving"]["problem"] == "ended without an answer with status 3: no licence"
    assert answers["refusing"]["problem"] == "libGL.so.1: cannot open shared object file"
    assert not answers["refusing"]["missing"]
    assert answers["fine"] == {"version": "7.1"}
    assert answers["nothing"]["missing"]


def test_a_refusal_in_our_own_words_is_an_answer():
    class Refusing:
        def ask(self, method, payload):
            return {"problem": "OpenCV is installed but lacks a system library"}

    assert probes.video(Refusing(), "opencv-python").opencv is None
    assert probes.runtime(Refusing()).problem
    assert probes.engine_devices(Refusing()) == {}
    assert all(one.problem for one in probes.modules(Refusing()))


def test_ctrl_c_is_heeded():
    context = Context()
    context.cancel.set()
    with pytest.raises(InterruptedByUser):
        look(context)
