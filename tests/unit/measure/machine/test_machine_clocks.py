"""Governors, clocks and throttling events, as a kernel shows them."""

from __future__ import annotations

import pytest
from kernel import Kernel

from edgecv_cli.measure.machine.clocks import Clocks


@pytest.fixture
def kernel(tmp_path):
    return Kernel(tmp_path)


def watched(kernel, *clocks):
    """Return what is seen of a run with those clocks, which begins as the kernel stands."""
    source = Clocks(kernel.root, [0, 1])
    source.begin()
    for khz in clocks:
        kernel.cores(2, scaling_cur_freq=khz)
        source.sample()
    return source.end()


def test_a_clock_that_fell_is_told_with_the_clock_to_fix(kernel):
    kernel.cores(2, scaling_cur_freq=3_800_000, cpuinfo_max_freq=4_000_000)

    seen = watched(kernel, *[3_800_000] * 3, *[2_600_000] * 4)

    assert len(seen.warnings) == 1
    assert "from 3.80 to 2.60 GHz" in seen.warnings[0]
    assert "--max 2600MHz" in seen.warnings[0]
    assert seen.figures["frequency_first_mhz"] == 3800
    assert seen.figures["frequency_last_mhz"] == 2600


def test_a_clock_that_rose_or_hardly_moved_is_no_warning(kernel):
    kernel.cores(2, scaling_cur_freq=2_000_000, cpuinfo_max_freq=4_000_000)
    assert watched(kernel, *[2_000_000] * 3, *[3_800_000] * 4).warnings == ()

    kernel.cores(2, scaling_cur_freq=4_000_000)
    assert watched(kernel, *[4_000_000] * 3, *[3_700_000] * 4).warnings == ()


def test_a_clock_that_fell_to_the_nominal_maximum_is_no_warning(kernel):
    kernel.cores(2, scaling_cur_freq=4_600_000, cpuinfo_max_freq=4_000_000)

    assert watched(kernel, *[4_600_000] * 3, *[4_000_000] * 4).warnings == ()


def test_too_few_looks_are_no_trend(kernel):
    kernel.cores(2, scaling_cur_freq=3_800_000, cpuinfo_max_freq=4_000_000)

    seen = watched(kernel, 2_000_000, 2_000_000)

    assert seen.warnings == ()
    assert seen.figures["frequency_last_mhz"] == 2000


def test_one_low_look_is_no_fall(kernel):
    kernel.cores(2, scaling_cur_freq=3_800_000, cpuinfo_max_freq=4_000_000)

    assert watched(kernel, *[3_800_000] * 7, 800_000, 3_800_000).warnings == ()


def test_the_clock_is_that_of_the_fastest_core(kernel):
    kernel.cores(2, scaling_cur_freq=3_000_000)
    kernel.show({"sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": 400_000})

    assert watched(kernel).figures["frequency_first_mhz"] == 3000


@pytest.mark.parametrize("name", ["powersave", "ondemand", "conservative", "schedutil"])
def test_a_governor_that_follows_the_load_is_told_where_a_steady_one_exists(kernel, name):
    kernel.cores(2, scaling_governor=name, scaling_available_governors="performance powersave")

    seen = watched(kernel)

    assert len(seen.warnings) == 1
    assert f"governor is {name}:" in seen.warnings[0]
    assert "sudo cpupower frequency-set -g performance" in seen.warnings[0]
    assert seen.figures["governor"] == name


def test_a_governor_that_nothing_can_replace_is_no_warning(kernel):
    kernel.cores(2, scaling_governor="schedutil", scaling_available_governors="schedutil")

    assert watched(kernel).warnings == ()


def test_performance_is_no_warning(kernel):
    kernel.cores(2, scaling_governor="performance", scaling_available_governors="performance")

    seen = watched(kernel)

    assert seen.warnings == ()
    assert seen.figures["governor"] == "performance"


def test_a_governor_that_changed_is_told_even_if_it_changed_back(kernel):
    kernel.cores(2, scaling_governor="performance", scaling_available_governors="performance")
    source = Clocks(kernel.root, [0, 1])
    source.begin()
    kernel.cores(2, scaling_governor="powersave")
    source.sample()
    kernel.cores(2, scaling_governor="performance")

    seen = source.end()

    assert len(seen.warnings) == 1
    assert "from performance to powersave" in seen.warnings[0]


def test_throttling_of_one_package_is_counted_once(kernel):
    def counts(core, package):
        for place in range(2):
            folder = f"sys/devices/system/cpu/cpu{place}/thermal_throttle"
            kernel.show(
                {
                    f"{folder}/core_throttle_count": core,
                    f"{folder}/package_throttle_count": package,
                }
            )

    counts(5, 100)
    source = Clocks(kernel.root, [0, 1])
    source.begin()
    counts(5, 107)

    seen = source.end()

    assert seen.figures["throttle_events"] == 7
    assert "throttled for heat 7 times" in seen.warnings[0]


def test_a_counter_that_stands_still_is_a_measured_zero(kernel):
    kernel.show({"sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": 9})

    seen = watched(kernel)

    assert seen.figures["throttle_events"] == 0
    assert seen.warnings == ()


def test_cores_of_one_cluster_share_what_is_read(kernel):
    policy = kernel.root / "sys/devices/system/cpu/cpufreq/policy0"
    kernel.show({f"{policy.relative_to(kernel.root)}/scaling_cur_freq": 1_500_000})
    for core in range(2):
        folder = kernel.root / f"sys/devices/system/cpu/cpu{core}"
        folder.mkdir(parents=True)
        (folder / "cpufreq").symlink_to(policy)

    assert watched(kernel).figures["frequency_first_mhz"] == 1500


def test_cores_that_are_not_used_do_not_count(kernel):
    kernel.cores(4, scaling_cur_freq=1_000_000)
    kernel.show({"sys/devices/system/cpu/cpu3/cpufreq/scaling_cur_freq": 5_000_000})

    assert watched(kernel).figures["frequency_first_mhz"] == 1000


def test_a_kernel_that_shows_nothing_gives_nothing(kernel):
    seen = watched(kernel)

    assert seen.warnings == ()
    assert set(seen.figures.values()) == {None}


def test_what_is_no_number_is_not_shown(kernel):
    kernel.cores(2, scaling_cur_freq="<unknown>", scaling_governor="")

    assert set(watched(kernel).figures.values()) == {None}
