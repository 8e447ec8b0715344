"""What doctor makes of a machine: each finding from machines that were made up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgecv_cli.core.result import Machine
from edgecv_cli.measure.doctor.accelerators import Accelerator
from edgecv_cli.measure.doctor.host import Disk, Host
from edgecv_cli.measure.doctor.packages import Installed, Package
from edgecv_cli.measure.doctor.probes import Encoder, Module, Runtime, Video
from edgecv_cli.measure.doctor.snapshot import Snapshot, engines
from edgecv_cli.stages.doctor import judge

GIB = 2**30
MACHINE = Machine(
    cpu="Abacus 9", cores=4, instruction_sets=("avx2", "avx512_vnni"), os="Linux 6 x86_64",
    python="3.11", fingerprint="f",
)  # fmt: skip
DISKS = tuple(
    Disk(purpose=purpose, path=f"/{purpose}", writable=True, free_bytes=10**11)
    for purpose in ("temporary", "cache", "working")
)
HOST = Host(
    cores_present=4, cores_usable=4, memory_present_bytes=8 * GIB, memory_usable_bytes=8 * GIB,
    memory_available_bytes=6 * GIB, swap_bytes=0, disks=DISKS,
)  # fmt: skip
ORT = Installed("onnxruntime", "1.20.0", frozenset({"onnxruntime"}))
CV2 = Installed("opencv-python", "4.10.0", frozenset({"cv2"}))
RAN = Runtime(providers=("CPUExecutionProvider",), ran=True)
DEVICES = {"onnxruntime": ("cpu",)}


def encoder(fourcc, *, works=True):
    return Encoder(fourcc=fourcc, container="mp4", name=fourcc, works=works)


VIDEO = Video(
    opencv="4.10.0", distribution="opencv-python", gui="QT", backends=("FFMPEG", "GSTREAMER"),
    encoders=(encoder("mp4v"), encoder("avc1")), images={"jpg": True, "png": True, "avif": True},
)  # fmt: skip
GOOD = Snapshot(
    machine=MACHINE,
    host=HOST,
    distributions=(ORT, CV2),
    packages=(Package(name="numpy", required="numpy>=1", version="2.0", state="ok"),),
    modules=(Module(name="onnxruntime", version="1.20.0"), Module(name="cv2", version="4.10.0")),
    runtime=RAN,
    engines=engines((ORT,), DEVICES, RAN),
    video=VIDEO,
)


def finding(seen, name, require=()):
    """Return the one finding of that name."""
    (one,) = [one for one in judge(seen, require).findings if one.name == name]
    return one


def names(seen):
    return {one.name for one in judge(seen).findings}


def with_machine(**changes):
    return replace(GOOD, machine=MACHINE.model_copy(update=changes))


def with_host(**changes):
    return replace(GOOD, host=HOST.model_copy(update=changes))


def with_video(**changes):
    return replace(GOOD, video=VIDEO.model_copy(update=changes))


def with_module(name, problem, *, missing=False, **changes):
    return replace(GOOD, modules=(Module(name=name, problem=problem, missing=missing),), **changes)


def test_a_good_machine_has_nothing_to_mend():
    result = judge(GOOD)
    assert {one.level for one in result.findings} == {"ok", "info"}
    assert all(one.remedy is None for one in result.findings)
    assert result.error is None
    assert "error" not in result.to_json()


@pytest.mark.parametrize(
    ("sets", "os", "level", "says"),
    [
        (("avx2", "amx_int8"), "Linux x86_64", "ok", "amx_int8"),
        (("avx2",), "Linux x86_64", "info", "16 bits"),
        ((), "Linux x86_64", "warning", "without AVX2"),
        (("neon", "dotprod"), "Linux aarch64", "ok", "neon dotprod"),
        (("neon",), "Linux aarch64", "info", "without dotprod"),
        ((), "Darwin arm64", "ok", "no int8 instructions known"),
    ],
)
def test_processors(sets, os, level, says):
    found = finding(with_machine(instruction_sets=sets, os=os), "processor")
    assert found.level == level
    assert found.found.startswith("Abacus 9: ")
    assert says in found.found


def test_governors():
    assert "governor" not in names(GOOD)
    assert finding(with_machine(governor="schedutil"), "governor").level == "ok"
    slow = finding(with_machine(governor="powersave"), "governor")
    assert (slow.level, "cpupower" in slow.remedy) == ("warning", True)


def test_cores_that_a_container_takes():
    assert finding(GOOD, "cores").found == "4, all usable"
    assert finding(with_host(cores_present=64), "cores").found.startswith("4 of 64 usable")


@pytest.mark.parametrize(
    ("changes", "level", "says"),
    [
        ({}, "ok", "8.0 GiB usable, 6.0 GiB free, no swap"),
        ({"swap_bytes": 2 * GIB}, "ok", "swap 2.0 GiB"),
        ({"memory_usable_bytes": 2 * GIB}, "ok", "2.0 GiB usable, of 8.0 GiB: a container's"),
        ({"memory_usable_bytes": GIB}, "warning", "may fail"),
        ({"memory_available_bytes": GIB // 2}, "warning", "0.5 GiB free"),
        ({"memory_usable_bytes": None}, "info", "does not say"),
    ],
)
def test_memory(changes, level, says):
    found = finding(with_host(**changes), "memory")
    assert (found.level, says in found.found) == (level, True), found


def test_disks():
    def changed(purpose, **changes):
        disks = [one.model_copy(update=changes if one.purpose == purpose else {}) for one in DISKS]
        return finding(with_host(disks=tuple(disks)), f"{purpose} folder")

    assert changed("cache").level == "ok"
    assert changed("cache", writable=False).level == "warning"
    assert changed("temporary", writable=False).level == "error"
    assert changed("working", free_bytes=10**8).found == "/working, 0.1 GB free"
    assert changed("working", free_bytes=10**8).level == "warning"
    assert changed("working", free_bytes=None).level == "info"
    none = judge(with_host(disks=DISKS[1:]))
    assert none.error.remedy.startswith("export TMPDIR=")
    homeless = finding(with_host(disks=DISKS[:1]), "cache folder")
    assert (homeless.level, "XDG_CACHE_HOME" in homeless.remedy) == ("warning", True)


def accelerator(kind="intel-gpu", **changes):
    return Accelerator(**{"kind": kind, "name": "A GPU", "where": "/dev/x", **changes})


def test_an_accelerator_that_edgecv_does_not_use_is_said_to_be_idle():
    seen = replace(GOOD, accelerators=(accelerator(driver="550.1"),))
    found = finding(seen, "intel-gpu")
    assert found.level == "info"
    assert "A GPU (/dev/x, driver 550.1); this edgecv does not run models on it" in found.found
    assert "pip install openvino" in found.found
    openvino = Installed("openvino", "2025.1")
    with_library = replace(seen, engines=engines((ORT, openvino), DEVICES, RAN))
    assert "openvino 2025.1 is installed, but" in finding(with_library, "intel-gpu").found
    assert "none seen" in finding(GOOD, "accelerators").found


def test_an_accelerator_whose_engine_edgecv_runs():
    seen = replace(GOOD, accelerators=(accelerator(),))
    openvino = Installed("openvino", "2025.1")
    both = {**DEVICES, "openvino": ("CPU", "GPU")}
    there = replace(seen, engines=engines((ORT, openvino), both, RAN))
    assert finding(there, "intel-gpu").level == "ok"
    missing = replace(seen, engines=engines((ORT,), {**DEVICES, "openvino": ()}, RAN))
    found = finding(missing, "intel-gpu")
    assert (found.level, found.remedy) == ("warning", "pip install openvino")


@pytest.mark.parametrize(
    ("kind", "remedy"), [("nvidia-gpu", "--gpus all"), ("amd-gpu", "render"), ("hailo", "/dev/x")]
)
def test_an_accelerator_that_may_not_be_opened(kind, remedy):
    found = finding(replace(GOOD, accelerators=(accelerator(kind, usable=False),)), kind)
    assert found.level == "warning"
    assert remedy in found.remedy


def package(state, **changes):
    given = {"name": "onnx", "required": "onnx>=1.17", "state": state, **changes}
    return replace(GOOD, packages=(Package(**given),))


def test_requirements():
    assert finding(GOOD, "requirements").found.startswith("1 of 1 installed")
    missing = finding(package("missing"), "onnx")
    assert (missing.level, missing.remedy) == ("error", "pip install 'onnx>=1.17'")
    old = finding(package("old", version="1.9"), "onnx")
    assert (old.level, old.found) == ("warning", "1.9 is installed, edgecv needs onnx>=1.17")
    replaced = finding(package("replaced", by="onnx-weekly"), "onnx")
    assert (replaced.level, replaced.remedy) == ("info", None)
    assert "not known" in finding(replace(GOOD, packages=()), "requirements").found
    assert names(package("unchecked", version="1.9")) & {"onnx", "requirements"} == set()


def owner(name, module):
    return Installed(name, "1.0", frozenset({module}))


@pytest.mark.parametrize(
    ("module", "several", "kept"),
    [
        ("onnxruntime", ["onnxruntime", "onnxruntime-gpu"], "onnxruntime"),
        ("onnxruntime", ["onnxruntime", "onnxruntime-openvino"], "onnxruntime"),
        ("cv2", ["opencv-python", "opencv-python-headless"], "opencv-python-headless"),
        ("cv2", ["opencv-contrib-python", "opencv-python"], "opencv-contrib-python"),
        ("cv2", ["opencv-contrib-python", "opencv-python-headless"],
         "opencv-contrib-python-headless"),
    ],
)  # fmt: skip
def test_two_distributions_in_one_folder(module, several, kept):
    seen = replace(GOOD, distributions=tuple(owner(name, module) for name in several))
    found = finding(seen, f"{module} twice")
    assert found.level == "warning"
    assert found.remedy == f"pip uninstall -y {' '.join(several)} && pip install {kept}"
    assert f"{several[0]} 1.0 and {several[1]} 1.0" in found.found
    modules = (Module(name=module, problem="undefined symbol"),)
    broken = replace(seen, modules=modules, engines=())
    assert finding(broken, f"{module} twice").level == "error"
    assert finding(broken, module).remedy == found.remedy


@pytest.mark.parametrize(
    ("module", "problem", "remedy"),
    [
        ("cv2", "libGL.so.1: cannot open shared object file", "apt-get install libgl1 libglib2.0"),
        ("numpy", "crashed with SIGILL", "too old for the wheel"),
        ("onnx_ir", "crashed with SIGSEGV", "pip install --force-reinstall --no-cache-dir onnx-ir"),
        ("pycocotools.mask", "gave no answer within 60 s", "pycocotools"),
    ],
)
def test_a_module_that_does_not_load_is_an_error(module, problem, remedy):
    result = judge(with_module(module, problem))
    (found,) = [one for one in result.findings if one.name == module]
    assert (found.level, found.found) == ("error", f"can't be loaded: {problem}")
    assert remedy in found.remedy
    assert (result.error.kind, result.error.remedy) == ("doctor", found.remedy)
    assert module in result.error.problem


def test_a_missing_module_is_said_once():
    gone = package("missing").packages
    assert finding(
        with_module("onnx", "No module", missing=True, packages=gone), "onnx"
    ).remedy == ("pip install 'onnx>=1.17'")
    unknown = with_module("onnx", "No module named 'onnx'", missing=True)
    assert finding(unknown, "onnx").remedy == "pip install onnx"


def test_engines():
    assert finding(GOOD, "onnxruntime").found.startswith("1.20.0 runs models on cpu; providers: ")
    openvino = Installed("openvino", "2025.1")
    idle = replace(GOOD, engines=engines((ORT, openvino), DEVICES, RAN))
    assert finding(idle, "openvino").level == "info"
    wrong = Runtime(problem="crashed with SIGSEGV")
    broken = replace(GOOD, runtime=wrong, engines=engines((ORT,), DEVICES, wrong))
    assert finding(broken, "onnxruntime").level == "error"
    assert "SIGSEGV" in finding(broken, "onnxruntime").found


def test_the_engine_of_another_distribution_counts():
    gpu = Installed("onnxruntime-gpu", "1.20.0", frozenset({"onnxruntime"}))
    (state, *others) = engines((gpu,), DEVICES, RAN)
    assert (state.name, state.distribution, state.available) == (
        "onnxruntime", "onnxruntime-gpu", True,
    )  # fmt: skip
    assert not any(one.supported or one.available for one in others)


def test_opencv():
    assert "windows through QT" in finding(GOOD, "OpenCV").found
    headless = with_video(gui=None, distribution=None)
    assert "no single distribution of pip, headless" in finding(headless, "OpenCV").found
    assert names(with_video(opencv=None)) & {"OpenCV", "video encoders", "GStreamer"} == set()


def test_image_formats():
    assert finding(GOOD, "image formats").found == "jpg png avif"
    assert finding(with_video(images={"jpg": True, "avif": False}), "image formats").level == "info"
    assert finding(with_video(images={"jpg": False}), "image formats").level == "error"


def test_video():
    assert finding(GOOD, "video encoders").found == "mp4v (mp4v), avc1 (avc1)"
    plain = with_video(
        backends=("FFMPEG",), encoders=(encoder("mp4v"), encoder("avc1", works=False))
    )
    assert "not avc1" in finding(plain, "video encoders").found
    assert "edgecv[video]" in finding(plain, "H.264").remedy
    pyav = replace(plain, distributions=(*GOOD.distributions, replace(CV2, name="av")))
    assert finding(pyav, "H.264").level == "ok"
    assert "python3-opencv" in finding(plain, "GStreamer").remedy
    none = with_video(encoders=(encoder("mp4v", works=False), encoder("VP90")))
    assert finding(none, "video encoders").level == "warning"
    assert finding(with_video(backends=("V4L2",)), "video files").level == "warning"
    untried = names(with_video(encoders=()))
    assert untried & {"video encoders", "H.264"} == set()


@pytest.mark.parametrize(
    ("asked", "level", "says"),
    [
        ("onnxruntime", "ok", "it is there"),
        ("onnxruntime:cpu", "ok", "it is there"),
        ("onnxruntime:cuda", "error", "offers cpu here, not cuda"),
        ("tensorrt", "error", "does not run models on it"),
    ],
)
def test_engines_that_are_required(asked, level, says):
    found = finding(GOOD, f"required {asked}", (asked,))
    assert (found.level, says in found.found) == (level, True)
    assert (judge(GOOD, (asked,)).error is None) == (level == "ok")


def test_required_engines_that_are_missing_or_broken():
    missing = replace(GOOD, engines=engines((), {"onnxruntime": ()}, Runtime()))
    assert finding(missing, "required onnxruntime", ("onnxruntime",)).remedy == (
        "pip install onnxruntime"
    )
    broken = replace(GOOD, engines=engines((ORT,), DEVICES, Runtime(problem="it crashed")))
    assert "does not work" in finding(broken, "required onnxruntime", ("onnxruntime",)).found


@pytest.mark.parametrize(
    ("installed", "level", "says"),
    [((), "info", "pip install 'edgecv[tensorrt-rtx]'"),
     ((Installed("tensorrt-rtx-cu12-bindings", "1.7.1"),), "ok", "1.7.1 builds engines")],
)  # fmt: skip
def test_the_builder_of_engines_for_rtx_cards_is_found_or_named(installed, level, says):
    seen = replace(GOOD, engines=engines(installed, {"onnxruntime": ()}, Runtime()))
    found = finding(seen, "tensorrt-rtx")
    assert (found.level, says in found.found) == (level, True)
