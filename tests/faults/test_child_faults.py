"""Whatever a child process does, the parent gets an answer or a reason, and no process stays."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from edgecv_cli.core.child import Child, Limits
from edgecv_cli.core.context import Cancel
from edgecv_cli.core.errors import ChildFailureError, InterruptedByUser, ModelError

ROOT = Path(__file__).resolve().parents[2]
PATIENT = Limits(60)


def probe(limits=PATIENT, **options):
    return Child("probe", name="a test", limits=limits, **options)


def is_gone(pid, within=10.0):
    """Whether the process ends in time; a zombie that its parent has yet to reap has ended."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
            os.kill(pid, 0)
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False


def failure(method, limits=PATIENT, **payload):
    """Call a method that fails; return the failure after seeing that no process stayed."""
    with probe(limits) as child:
        pid = child.pid
        with pytest.raises(ChildFailureError) as caught:
            child.call(method, payload)
        assert is_gone(pid)
        with pytest.raises(ChildFailureError, match="has ended"):
            child.call("echo", {})
    return caught.value


def test_an_answer_comes_from_another_process_which_then_ends():
    with probe() as child:
        answer = child.call("echo", {"text": "größer", "list": [1, 2.5, None]})
        assert (answer["text"], answer["list"]) == ("größer", [1, 2.5, None])
        assert answer["pid"] == child.pid != os.getpid()
        assert len(child.call("echo", {"big": "x" * 3_000_000})["big"]) == 3_000_000
    assert is_gone(answer["pid"])


def test_a_crash_names_its_signal_and_the_last_words():
    error = failure("signal", number=int(signal.SIGSEGV))
    assert (error.reason, error.signal) == ("crashed", signal.SIGSEGV)
    assert "SIGSEGV" in error.problem
    assert error.problem.startswith("a test")
    assert "Segmentation fault" in error.stderr_tail


def test_an_exit_without_an_answer_is_a_crash():
    error = failure("exit", status=3)
    assert (error.reason, error.signal) == ("crashed", None)
    assert "status 3" in error.problem


def test_a_hang_ends_at_the_limit():
    error = failure("sleep", limits=Limits(1.0), seconds=600)
    assert error.reason == "hung"
    assert "within 1 s" in error.problem


def test_a_call_may_name_its_own_time():
    with probe(Limits(600)) as child, pytest.raises(ChildFailureError) as caught:
        child.call("sleep", {"seconds": 600}, timeout=0.3)
    assert caught.value.reason == "hung"


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA binds mappings on Linux only")
def test_memory_above_the_limit_is_refused_by_name():
    limits = Limits(60, memory_bytes=256 * 2**20)
    with probe(limits) as child:
        assert child.call("allocate", {"bytes": 2**20}) == {"bytes": 2**20}
    assert failure("allocate", limits=limits, bytes=2**30).reason == "oom"


def test_a_kill_that_is_not_ours_is_the_kernels_want_of_memory():
    error = failure("signal", number=int(signal.SIGKILL))
    assert (error.reason, error.signal) == ("oom", signal.SIGKILL)


def test_a_bug_comes_with_its_traceback():
    error = failure("no such method")
    assert error.reason == "error"
    assert "no such method" in error.problem
    assert "Traceback" in error.stderr_tail


def test_a_refusal_keeps_its_words_and_the_child():
    with probe() as child:
        with pytest.raises(ModelError) as caught:
            child.call("refuse", {"problem": "m.onnx is empty", "remedy": "export it again"})
        assert caught.value.problem == "m.onnx is empty"
        assert caught.value.remedy == "export it again"
        assert child.call("echo", {"still": "here"})["still"] == "here"


def test_a_service_that_is_not_in_the_table_is_not_run():
    with pytest.raises(ChildFailureError) as caught, Child("os:system", name="x", limits=PATIENT):
        pass
    assert caught.value.reason == "error"


def test_an_interpreter_that_is_gone_is_said(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(ChildFailureError, match="could not be started"), probe():
        pass


def test_variables_reach_the_child_only():
    with probe(env={"EDGECV_TEST_VARIABLE": "1"}) as child:
        answer = child.call("echo", {"variable": "EDGECV_TEST_VARIABLE"})
    assert answer["value"] == "1"
    assert "EDGECV_TEST_VARIABLE" not in os.environ


def test_a_stray_module_in_the_working_folder_is_not_imported(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit('stray')")
    monkeypatch.chdir(tmp_path)
    with probe() as child:
        assert child.call("echo", {})["cwd"] == str(tmp_path)


def test_what_a_child_prints_stays_out_of_our_output(capfd):
    with probe() as child:
        child.call("print", {"text": "noise\n" * 50_000})
        error = None
        try:
            child.call("exit", {"status": 1})
        except ChildFailureError as caught:
            error = caught
    assert error is not None
    assert error.stderr_tail.endswith("noise")
    assert len(error.stderr_tail) <= 16 * 1024
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
def test_an_exception_in_the_block_ends_the_child_at_once(error):
    pids = []

    def fail():
        with probe() as child:
            pids.append(child.pid)
            raise error

    with pytest.raises(type(error)):
        fail()
    assert is_gone(pids[0], within=0.1)


def test_cancelling_ends_a_call():
    cancel = Cancel()
    with probe(cancel=cancel) as child:
        pid = child.pid
        threading.Timer(0.3, cancel.set).start()
        with pytest.raises(InterruptedByUser):
            child.call("sleep", {"seconds": 600})
    assert is_gone(pid)


def parent_with_sleeping_child():
    """Start a process that waits for its child; return it and the child's id."""
    script = """
        import signal
        from edgecv_cli.core.child import Child, Limits
        # a background job of a shell is started with this signal ignored
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with Child("probe", name="a test", limits=Limits(600)) as child:
            print(child.pid, flush=True)
            child.call("sleep", {"seconds": 600})
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return parent, int(parent.stdout.readline())


def test_ctrl_c_leaves_no_child():
    parent, pid = parent_with_sleeping_child()
    parent.send_signal(signal.SIGINT)
    _, err = parent.communicate(timeout=60)
    assert "KeyboardInterrupt" in err
    assert is_gone(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children")
def test_a_child_dies_with_its_parent():
    parent, pid = parent_with_sleeping_child()
    parent.kill()
    parent.communicate(timeout=60)
    assert is_gone(pid)


def test_what_a_child_started_ends_with_it():
    with probe() as child:
        grandchild = child.call("spawn", {})["pid"]
        assert not is_gone(grandchild, within=0.1)
    assert is_gone(grandchild)
