"""What a stranger installs: a wheel and an sdist, outside the checkout, run from ``/``.

Dependencies come from the running environment through a ``.pth`` file, so that nothing is
downloaded; edgecv itself comes from the built file alone.
"""

import json
import os
import site
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edgecv_cli.cli.main import COMMANDS
from edgecv_cli.core.version import __version__

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
WHEEL_BYTES = 15_000_000


def run(*argv, cwd="/", timeout=300):
    """Run a program in an environment that names no checkout, and demand success."""
    env = {key: os.environ[key] for key in ("PATH", "LANG", "TMPDIR") if key in os.environ}
    done = subprocess.run(
        [str(argument) for argument in argv],
        cwd=cwd,
        env={**env, "HOME": "/nonexistent", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def build_wheel(source, folder):
    options = ("--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", folder)
    run(sys.executable, "-m", "pip", "wheel", *options, source)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=ROOT)
    (archive,) = folder.glob("*.tar.gz")
    return archive


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The ``bin`` folder of a virtual environment that holds the wheel."""
    home = tmp_path_factory.mktemp("stranger") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", home)
    python = home / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "-q", wheel)
    (packages,) = home.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()))
    return home / "bin"


def contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {entry.filename: entry.CRC for entry in archive.infolist()}


def test_the_wheel_carries_the_built_in_data_and_nothing_stray(wheel):
    names = set(contents(wheel))
    for folder in ("calibration_data", "configs"):
        shipped = {
            f"edgecv_cli/_data/{path.relative_to(ROOT)}"
            for path in (ROOT / folder).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert shipped <= names
    assert any(name.startswith("edgecv_cli/_data/calibration_data/") for name in names)
    assert "edgecv_cli/py.typed" in names
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"edgecv_cli", f"edgecv-{__version__}.dist-info"}
    assert not [name for name in names if name.endswith((".pyc", ".pt", ".pth", ".log"))]


def test_the_wheel_carries_the_licence_and_is_small(wheel):
    assert f"edgecv-{__version__}.dist-info/licenses/LICENSE" in contents(wheel)
    assert wheel.stat().st_size < WHEEL_BYTES


def test_the_sdist_builds_the_same_wheel(wheel, sdist, tmp_path):
    assert contents(build_wheel(sdist, tmp_path)) == contents(wheel)


def test_the_installed_command_runs_from_anywhere(installed):
    assert run(installed / "edgecv", "--version") == f"edgecv {__version__}\n"
    assert "quantize" in run(installed / "edgecv", "--help")
    where = "import edgecv_cli, pathlib; print(pathlib.Path(edgecv_cli.__file__).parent)"
    package = Path(run(installed / "python", "-c", where).strip())
    assert package.is_relative_to(installed.parent)
    ask = "from edgecv_cli.core.resources import resource; print(resource('calibration_data'))"
    assert run(installed / "python", "-c", ask).strip() == str(
        package / "_data" / "calibration_data"
    )


@pytest.mark.skipif("demo" not in COMMANDS, reason="there is no demo command yet")
def test_the_installed_demo_runs_without_checkout_or_network(installed, tmp_path):
    unplugged = ("unshare", "--map-root-user", "--net")
    probe = subprocess.run([*unplugged, "true"], capture_output=True, check=False)
    prefix = unplugged if probe.returncode == 0 else ()
    command = (installed / "edgecv", "demo", "--output", tmp_path / "out", "--json")
    report = json.loads(run(*prefix, *command, timeout=600))
    assert report["baseline"]["size_bytes"] > report["optimized"]["size_bytes"]
    assert Path(report["report"]).is_file()
