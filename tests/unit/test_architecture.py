"""The walls of the house: layers, banned imports, sizes, and what a bare machine can run."""

import ast
import functools
import statistics
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from models import yolov8

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "edgecv_cli"
MODULES = sorted(PACKAGE.rglob("*.py"))
LAYERS = {
    *("cli", "pipeline", "stages", "compress", "measure", "inference", "runtime", "artifact"),
    *("detector", "media", "graph", "report", "config", "core"),
}


@functools.cache
def nodes(path):
    return list(ast.walk(ast.parse(path.read_text(), path)))


def imported_names(path):
    """Yield every module that a file imports, inside functions too."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield node.module


def importers(*packages):
    """Return the layers whose modules import one of the packages."""
    return {
        path.relative_to(PACKAGE).parts[0]
        for path in MODULES
        for name in imported_names(path)
        if name.partition(".")[0] in packages
    }


def run(script, *args):
    return subprocess.run(
        [sys.executable, "-c", script, *args],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def blocked(*modules):
    """Return the lines that make modules unimportable."""
    return "import sys\n" + "".join(f"sys.modules[{name!r}] = None\n" for name in modules)


def test_the_layers_hold():
    checked = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_every_module_stands_in_a_layer():
    outside = {path.relative_to(PACKAGE).parts[0] for path in MODULES} - LAYERS
    assert outside == {"__init__.py", "__main__.py", "_child.py", "_fleet_worker.py"}


@pytest.mark.parametrize("package", ["click", "pickle", "dill", "joblib", "torch", "tensorflow"])
def test_nobody_imports_what_is_banned(package):
    assert importers(package) == set()


def test_only_their_own_layers_know_these_packages():
    assert importers("typer", "rich") <= {"cli"}
    assert importers("onnx_ir", "onnxsim") <= {"graph"}
    assert importers("pycocotools") <= {"measure"}


def test_opencv_is_only_imported_where_its_absence_is_put_into_words():
    assert importers("cv2") == set()


def calls(path):
    for node in nodes(path):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id


def test_only_the_command_line_prints_and_nothing_evaluates():
    banned = {"eval", "exec", "compile", "__import__", "breakpoint", "exit", "quit"}
    for path in MODULES:
        used = set(calls(path))
        assert not used & banned, path
        assert "print" not in used or path.relative_to(PACKAGE).parts[0] == "cli", path


def test_the_package_itself_imports_nothing_heavy():
    script = "import sys, edgecv_cli; print(' '.join(sys.modules))"
    loaded = set(run(script).stdout.split())
    assert not loaded & {"numpy", "onnx", "onnxruntime", "cv2", "pydantic", "typer", "rich"}


def test_help_needs_neither_opencv_nor_onnx_nor_numpy():
    script = blocked("cv2", "onnxruntime", "onnx", "onnx_ir", "onnxsim", "pycocotools", "numpy")
    done = run(script + "from edgecv_cli.cli.main import main\nmain()", "--help")
    assert done.returncode == 0, done.stderr
    assert "quantize" in done.stdout


def test_inspect_needs_no_opencv(tmp_path):
    onnx.save(yolov8(), tmp_path / "model.onnx")
    script = blocked("cv2", "pycocotools") + "from edgecv_cli.cli.main import main\nmain()"
    done = run(script, "inspect", str(tmp_path / "model.onnx"), "--json")
    assert done.returncode == 0, done.stderr
    assert '"yolov8"' in done.stdout


def functions():
    for path in MODULES:
        for node in nodes(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path, node


def test_files_and_functions_stay_small():
    lines = {path: len(path.read_text().splitlines()) for path in MODULES}
    lengths = {
        f"{path}:{node.lineno}": node.end_lineno - node.lineno + 1 for path, node in functions()
    }
    assert {path: n for path, n in lines.items() if n > 400} == {}
    assert {place: n for place, n in lengths.items() if n > 60} == {}
    assert statistics.median(n for n in lines.values() if n > 3) <= 150
    assert statistics.median(lengths.values()) <= 12


def test_test_files_have_names_of_their_own():
    names = [path.name for path in (ROOT / "tests").rglob("*.py")]
    assert len(names) == len(set(names))
