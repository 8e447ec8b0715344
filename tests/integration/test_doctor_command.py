"""``edgecv doctor`` as scripts and people meet it."""

from __future__ import annotations

import io
import json

from command_line import edgecv, python
from rich.console import Console

from edgecv_cli.cli.main import run
from edgecv_cli.cli.render.doctor import render
from edgecv_cli.core.result import Machine
from edgecv_cli.measure.doctor.findings import Finding
from edgecv_cli.measure.doctor.host import Host
from edgecv_cli.measure.doctor.probes import Video
from edgecv_cli.stages.doctor import DoctorResult, Trouble

WIDTH = 80


def made_up(*findings, error=None):
    machine = Machine(
        cpu="c", cores=1, instruction_sets=(), os="Linux 6 x86_64", python="3.11.7", fingerprint="f"
    )
    return DoctorResult(
        machine=machine, findings=findings, host=Host(cores_usable=1), accelerators=(),
        engines=(), packages=(), video=Video(), error=error,
    )  # fmt: skip


def screen(result):
    out = io.StringIO()
    console = Console(file=out, width=WIDTH, emoji=False, markup=False, highlight=False)
    for block in render(result):
        console.print(block)
    return out.getvalue().splitlines()


def test_the_screen_fits_80_columns_and_spells_out_hostile_names():
    long = Finding(level="warning", name="cv2 twice", found="x" * 200, remedy="pip " + "y" * 100)
    odd = Finding(level="info", name="gpu", found="a \x1b[2J name")
    lines = screen(made_up(long, odd))
    assert max(map(len, lines)) <= WIDTH
    assert lines[0].startswith("edgecv ")
    assert "fix: pip" in " ".join(lines)
    assert any(r"a \x1b[2J name" in line for line in lines)
    assert lines[-1] == "edgecv works here: 0 errors, 1 warning"


def test_the_screen_of_a_broken_machine():
    error = Finding(level="error", name="cv2", found="can't be loaded", remedy="pip install x")
    trouble = Trouble(kind="doctor", problem="p", remedy="r")
    assert (
        screen(made_up(error, error=trouble))[-1] == "edgecv can't work here: 1 error, 0 warnings"
    )


def test_what_is_required_and_absent_exits_1_with_the_whole_result():
    done = edgecv("doctor", "--json", "--quiet", "--require", "onnxruntime", "--require", "coreml")
    assert done.returncode == 1
    assert done.stdout.count("\n") == 1
    result = json.loads(done.stdout)
    assert result["schema"] == "edgecv.doctor/1"
    assert {"cpu", "cores", "instruction_sets"} <= set(result["machine"])
    assert all({"name", "level", "found"} <= set(one) for one in result["findings"])
    engine = result["engines"][0]
    assert (engine["name"], engine["available"]) == ("onnxruntime", True)
    assert "CPUExecutionProvider" in engine["providers"]
    assert set(result["error"]) == {"kind", "problem", "remedy"}
    assert done.stderr.startswith("error: edgecv can't work here: required coreml: it is not")
    assert result["error"]["remedy"] == "pip install coremltools"


def test_an_unknown_engine_is_wrong_usage(capfd):
    assert run(["doctor", "--require", "abacus"]) == 2
    assert "there is no such engine" in capfd.readouterr().err


def test_it_works_where_a_library_is_broken(tmp_path):
    (tmp_path / "numpy.py").write_text("import os\nos.abort()\n")
    script = (
        "import os, sys\n"
        f"sys.path[0] = os.environ['PYTHONPATH'] = {str(tmp_path)!r}\n"
        "from edgecv_cli.cli.main import main\nmain()\n"
    )
    done = python("-c", script, "doctor", "--json", "--quiet")
    assert done.returncode == 1, done.stderr
    broken = {one["name"]: one for one in json.loads(done.stdout)["findings"]}
    assert broken["numpy"]["found"] == "can't be loaded: crashed with SIGABRT"
    assert broken["numpy"]["remedy"].startswith("pip install --force-reinstall")
