"""Temperatures, trip points and clocks that the kernel holds down."""

from __future__ import annotations

import pytest
from kernel import Kernel

from edgecv_cli.measure.machine.heat import Heat

ZONE = "sys/class/thermal/thermal_zone"
COOLER = "sys/class/thermal/cooling_device"


@pytest.fixture
def kernel(tmp_path):
    return Kernel(tmp_path)


def zone(kernel, place, kind, degrees, **trips):
    kernel.show({f"{ZONE}{place}/type": kind, f"{ZONE}{place}/temp": degrees * 1000})
    for number, (name, limit) in enumerate(trips.items()):
        kernel.show(
            {
                f"{ZONE}{place}/trip_point_{number}_type": name,
                f"{ZONE}{place}/trip_point_{number}_temp": limit * 1000,
            }
        )


def watched(kernel, *changes):
    source = Heat(kernel.root)
    source.begin()
    for files in changes:
        kernel.show(files)
        source.sample()
    return source.end()


def test_first_last_and_highest_temperature_are_kept(kernel):
    zone(kernel, 0, "cpu-thermal", 50)

    seen = watched(kernel, {f"{ZONE}0/temp": 81_500}, {f"{ZONE}0/temp": 70_000})

    assert seen.figures["temperature_first_c"] == 50
    assert seen.figures["temperature_max_c"] == 81.5
    assert seen.figures["temperature_last_c"] == 70
    assert seen.warnings == ()


def test_a_trip_point_that_was_reached_is_told(kernel):
    zone(kernel, 0, "cpu-thermal", 60, active=45, passive=85, critical=105)

    seen = watched(kernel, {f"{ZONE}0/temp": 86_000}, {f"{ZONE}0/temp": 60_000})

    assert len(seen.warnings) == 1
    assert "reached 86 °C, the kernel's limit is 85 °C" in seen.warnings[0]


def test_a_fan_that_starts_is_no_warning(kernel):
    zone(kernel, 0, "cpu-thermal", 60, active=45)

    assert watched(kernel, {f"{ZONE}0/temp": 80_000}).warnings == ()


def test_a_trip_point_that_nobody_has_set_is_none(kernel):
    zone(kernel, 0, "x86_pkg_temp", 60, passive=0, critical=-274)

    assert watched(kernel).warnings == ()


def test_what_is_no_part_of_the_processor_does_not_count(kernel):
    zone(kernel, 0, "iwlwifi_1", 90, passive=50)
    zone(kernel, 1, "x86_pkg_temp", 55)

    seen = watched(kernel)

    assert seen.figures["temperature_max_c"] == 55
    assert seen.warnings == ()


def test_the_hottest_part_counts(kernel):
    zone(kernel, 0, "cpu0-thermal", 50)
    zone(kernel, 10, "cpu1-thermal", 64)

    assert watched(kernel).figures["temperature_first_c"] == 64


def test_a_machine_without_zones_has_its_sensor_chip(kernel):
    kernel.show(
        {
            "sys/class/hwmon/hwmon0/name": "nvme",
            "sys/class/hwmon/hwmon0/temp1_input": 70_000,
            "sys/class/hwmon/hwmon1/name": "k10temp",
            "sys/class/hwmon/hwmon1/temp1_input": 48_250,
        }
    )

    assert watched(kernel).figures["temperature_first_c"] == 48.25


def test_a_sensor_that_sleeps_or_shows_nonsense_is_absent(kernel):
    zone(kernel, 0, "gpu-thermal", -274)

    assert watched(kernel).figures["temperature_first_c"] is None


def test_a_clock_that_is_held_down_is_told(kernel):
    kernel.show({f"{COOLER}0/type": "cpufreq-cpu0", f"{COOLER}0/cur_state": 0})

    seen = watched(kernel, {f"{COOLER}0/cur_state": 3}, {f"{COOLER}0/cur_state": 0})

    assert "held down for heat in 1 of 4 looks" in seen.warnings[0]
    assert seen.figures["capped"] == 0.25


def test_a_fan_is_not_a_clock(kernel):
    kernel.show({f"{COOLER}0/type": "pwm-fan", f"{COOLER}0/cur_state": 4})

    seen = watched(kernel)

    assert seen.figures["capped"] is None
    assert seen.warnings == ()


def test_a_kernel_that_shows_nothing_gives_nothing(kernel):
    seen = watched(kernel)

    assert seen.warnings == ()
    assert set(seen.figures.values()) == {None}
