"""The whole watch over a machine, on one that is written by hand and on this one."""

from __future__ import annotations

import os

import pytest
from kernel import Kernel

from edgecv_cli.measure.machine_watch import MachineWatch

S = 1_000_000_000


class Clock:
    """Time that passes when it is told to."""

    def __init__(self):
        self.now = 5 * S

    def __call__(self):
        return self.now


@pytest.fixture
def kernel(tmp_path):
    return Kernel(tmp_path)


def watch(kernel, clock=None):
    return MachineWatch(kernel.root, clock=clock or Clock(), cores=[0, 1], pid=500)


def test_everything_that_is_shown_stands_in_one_record(kernel):
    kernel.cores(
        2,
        scaling_governor="powersave",
        scaling_available_governors="performance powersave",
        scaling_cur_freq=3_000_000,
    )
    kernel.show(
        {
            "sys/class/thermal/thermal_zone0/type": "x86_pkg_temp",
            "sys/class/thermal/thermal_zone0/temp": 61_000,
            "proc/vmstat": "pswpin 0\npswpout 0",
        }
    )
    kernel.stat({"idle": 0}, {"idle": 0})
    kernel.process(500)
    watching = watch(kernel)
    watching.begin()
    kernel.stat({"idle": 900, "steal": 100}, {"user": 1000})

    seen = watching.end()

    assert seen.conditions is not None
    assert seen.conditions.model_dump(exclude_none=True) == {
        "governor": "powersave",
        "frequency_first_mhz": 3000,
        "frequency_last_mhz": 3000,
        "temperature_first_c": 61,
        "temperature_last_c": 61,
        "temperature_max_c": 61,
        "steal": 0.05,
        "other_load": 1.0,
        "swapped_bytes": 0,
    }
    assert [line.split()[1] for line in seen.warnings] == ["frequency", "hypervisor", "processes"]
    assert all("\n" not in line for line in seen.warnings)


def test_looks_are_apart_however_often_it_is_asked(kernel):
    clock = Clock()
    folder = "sys/class/thermal/thermal_zone0"
    kernel.show({f"{folder}/type": "cpu-thermal", f"{folder}/temp": 50_000})
    watching = watch(kernel, clock)
    watching.begin()
    clock.now += S // 100
    kernel.show({f"{folder}/temp": 90_000})
    watching.sample()  # too soon
    clock.now += S
    kernel.show({f"{folder}/temp": 70_000})
    watching.sample()
    kernel.show({f"{folder}/temp": 55_000})

    conditions = watching.end().conditions

    assert conditions.temperature_max_c == 70
    assert conditions.temperature_last_c == 55


def test_it_begins_anew_each_time(kernel):
    folder = "sys/class/thermal/thermal_zone0"
    kernel.show({f"{folder}/type": "cpu-thermal", f"{folder}/temp": 90_000})
    watching = watch(kernel)
    watching.begin()
    watching.end()
    kernel.show({f"{folder}/temp": 50_000})
    watching.begin()

    assert watching.end().conditions.temperature_max_c == 50


def test_a_kernel_that_shows_nothing_has_no_record(kernel):
    watching = watch(kernel)
    watching.begin()
    watching.sample()

    seen = watching.end()

    assert seen.conditions is None
    assert seen.warnings == ()


def test_this_machine_can_be_watched():
    watching = MachineWatch()
    watching.begin()
    deadline = sum(os.times()[:2]) + 0.05
    while sum(os.times()[:2]) < deadline:
        watching.sample()

    seen = watching.end()

    assert all(line == line.strip() for line in seen.warnings)
    if seen.conditions is not None and seen.conditions.other_load is not None:
        assert 0 <= seen.conditions.other_load <= os.cpu_count()
