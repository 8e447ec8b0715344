"""What the machine is said to be."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from edgecv_cli.measure import hardware

X86 = """processor\t: 0
model name\t: Some CPU @ 2.0GHz
flags\t\t: fpu sse2 avx2 avx512f avx512_vnni amx_int8
"""
ARM = """processor\t: 0
Features\t: fp asimd asimddp i8mm
Model\t\t: Some Board 4
"""


@pytest.fixture
def cpuinfo(tmp_path, monkeypatch):
    def pretend(text):
        path = tmp_path / "cpuinfo"
        path.write_text(text)
        monkeypatch.setattr(hardware, "_CPUINFO", path)
        clear()

    def clear():
        hardware.cpu_model.cache_clear()
        hardware.instruction_sets.cache_clear()

    yield pretend
    clear()


def test_x86_instruction_sets_are_read_from_the_kernel(cpuinfo):
    cpuinfo(X86)

    assert hardware.cpu_model() == "Some CPU @ 2.0GHz"
    assert hardware.instruction_sets() == ("avx2", "avx512f", "avx512_vnni", "amx_int8")
    assert hardware.has_vnni()


def test_arm_instruction_sets_are_read_from_the_kernel(cpuinfo):
    cpuinfo(ARM)

    assert hardware.cpu_model() == "Some Board 4"
    assert hardware.instruction_sets() == ("neon", "dotprod", "i8mm")
    assert not hardware.has_vnni()


def test_avx2_alone_is_not_vnni(cpuinfo):
    cpuinfo("flags : avx2 fma\n")

    assert not hardware.has_vnni()


def test_an_unknown_system_still_has_a_name(cpuinfo):
    cpuinfo("")

    assert hardware.cpu_model()
    assert hardware.instruction_sets() == ()


def test_the_machine_names_installed_engines_without_importing_them():
    described = hardware.machine()

    assert described.engines["onnxruntime"] == version("onnxruntime")
    assert "coreml" not in described.engines
    assert described.cores >= 1
    assert described.fingerprint == hardware.fingerprint()


def test_the_fingerprint_changes_with_what_timings_depend_on(cpuinfo):
    cpuinfo(X86)
    first = hardware.fingerprint(1)

    assert first == hardware.fingerprint(1)
    assert first != hardware.fingerprint(2)
    cpuinfo(ARM)
    assert first != hardware.fingerprint(1)
