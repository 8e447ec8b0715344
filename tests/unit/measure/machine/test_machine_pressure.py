"""A container's quota, swap and a board's supply, as a kernel shows them."""

from __future__ import annotations

import os

import pytest
from kernel import Kernel

from edgecv_cli.measure.machine.limits import Quota, Supply, Swap

OURS = 500
V2 = "sys/fs/cgroup"


@pytest.fixture
def kernel(tmp_path):
    return Kernel(tmp_path)


def cpu_stat(periods, stopped, usec, *, unit="throttled_usec"):
    return f"usage_usec 12\nnr_periods {periods}\nnr_throttled {stopped}\n{unit} {usec}"


def quota(kernel, cgroup, path, before, after, **kind):
    kernel.show({f"proc/{OURS}/cgroup": cgroup, path: cpu_stat(*before, **kind)})
    source = Quota(kernel.root, OURS)
    source.begin()
    kernel.show({path: cpu_stat(*after, **kind)})
    return source.end()


def test_a_quota_that_stopped_us_is_told(kernel):
    seen = quota(kernel, "0::/box", f"{V2}/box/cpu.stat", (10, 2, 5000), (90, 36, 1_205_000))

    assert seen.figures["quota_stopped_s"] == pytest.approx(1.2)
    assert "stopped its processes for 1.20 s during the run (34 periods)" in seen.warnings[0]


def test_the_quota_of_what_encloses_us_counts(kernel):
    kernel.show({f"{V2}/pod/box/cpu.stat": cpu_stat(90, 0, 0)})

    seen = quota(kernel, "0::/pod/box", f"{V2}/pod/cpu.stat", (10, 0, 0), (90, 4, 800_000))

    assert seen.figures["quota_stopped_s"] == pytest.approx(0.8)


def test_version_1_counts_nanoseconds_in_the_controller_s_folder(kernel):
    seen = quota(
        kernel,
        "7:memory:/elsewhere\n4:cpu,cpuacct:/docker/abc\n0::/",
        f"{V2}/cpu,cpuacct/cpu.stat",
        (10, 0, 0),
        (20, 3, 500_000_000),
        unit="throttled_time",
    )

    assert seen.figures["quota_stopped_s"] == pytest.approx(0.5)


def test_a_quota_that_was_enough_is_a_measured_zero(kernel):
    seen = quota(kernel, "0::/", f"{V2}/cpu.stat", (10, 2, 5000), (90, 2, 5000))

    assert seen.figures["quota_stopped_s"] == 0
    assert seen.warnings == ()


def test_without_a_quota_there_is_nothing_to_say(kernel):
    assert quota(kernel, "0::/", f"{V2}/cpu.stat", (0, 0, 0), (0, 0, 0)).figures == {}


def test_a_path_that_leads_out_of_the_groups_is_not_followed(kernel):
    kernel.show({"sys/fs/cpu.stat": cpu_stat(1, 5, 9), "cpu.stat": cpu_stat(1, 5, 9)})

    seen = quota(kernel, "0::/../..", f"{V2}/cpu.stat", (10, 0, 0), (20, 0, 0))

    assert seen.figures["quota_stopped_s"] == 0


def swap(kernel, before, after):
    kernel.show({"proc/vmstat": f"pgpgin 5\npswpin {before}\npswpout {before}"})
    source = Swap(kernel.root)
    source.begin()
    kernel.show({"proc/vmstat": f"pgpgin 5\npswpin {after}\npswpout {before}"})
    return source.end()


def test_swapping_is_told_in_bytes(kernel):
    pages = 40_000_000 // os.sysconf("SC_PAGE_SIZE")

    seen = swap(kernel, 100, 100 + pages)

    assert seen.figures["swapped_bytes"] == pages * os.sysconf("SC_PAGE_SIZE")
    assert "swapped 40 MB during the run" in seen.warnings[0]


def test_a_few_pages_are_no_warning(kernel):
    seen = swap(kernel, 100, 105)

    assert seen.figures["swapped_bytes"] == 5 * os.sysconf("SC_PAGE_SIZE")
    assert seen.warnings == ()


def supply(kernel, *alarms):
    kernel.show({"sys/class/hwmon/hwmon0/name": "cpu_thermal"})
    kernel.show({"sys/class/hwmon/hwmon1/name": "rpi_volt"})
    source = Supply(kernel.root)
    kernel.show({"sys/class/hwmon/hwmon1/in0_lcrit_alarm": alarms[0]})
    source.begin()
    for alarm in alarms[1:]:
        kernel.show({"sys/class/hwmon/hwmon1/in0_lcrit_alarm": alarm})
        source.sample()
    return source.end()


def test_a_low_supply_is_told_even_if_it_recovered(kernel):
    seen = supply(kernel, 0, 1, 0)

    assert seen.figures["under_voltage"] is True
    assert "too low in 1 of 4 looks" in seen.warnings[0]


def test_a_good_supply_is_a_measured_no(kernel):
    seen = supply(kernel, 0, 0)

    assert seen.figures["under_voltage"] is False
    assert seen.warnings == ()


@pytest.mark.parametrize(
    "source", [lambda root: Quota(root, OURS), Swap, Supply], ids=["quota", "swap", "supply"]
)
def test_a_kernel_that_shows_nothing_gives_nothing(kernel, source):
    looking = source(kernel.root)
    looking.begin()
    looking.sample()

    seen = looking.end()

    assert seen.figures == {}
    assert seen.warnings == ()
