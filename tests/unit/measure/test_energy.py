"""Energy from counters and power sensors that are written by hand."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel import Kernel

from edgecv_cli.measure import energy_ina3221
from edgecv_cli.measure.energy import EnergyTally, find_meter
from edgecv_cli.measure.energy_meter import EnergyMeter, SensorLostError, Taken

S = 1_000_000_000
CAP = "sys/class/powercap"
HWMON = "sys/class/hwmon"


class Clock:
    """Time that passes when it is told to."""

    def __init__(self):
        self.now = 5 * S

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += round(seconds * S)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def kernel(tmp_path):
    return Kernel(tmp_path)


def package(kernel, zone, name, energy, most=1_000_000):
    kernel.show(
        {
            f"{CAP}/{zone}/name": name,
            f"{CAP}/{zone}/energy_uj": energy,
            f"{CAP}/{zone}/max_energy_range_uj": most,
        }
    )


def counter(kernel, energy, zone="intel-rapl:0"):
    kernel.show({f"{CAP}/{zone}/energy_uj": energy})


def rail(kernel, chip, channel, label, millivolts, milliamperes):
    kernel.show(
        {
            f"{HWMON}/{chip}/name": "ina3221",
            f"{HWMON}/{chip}/in{channel}_label": label,
            f"{HWMON}/{chip}/in{channel}_input": millivolts,
            f"{HWMON}/{chip}/curr{channel}_input": milliamperes,
        }
    )


def test_a_counter_is_measured_from_block_to_block(kernel, clock):
    package(kernel, "intel-rapl:0", "package-0", 700_000)
    meter = find_meter(kernel.root, clock).meter
    counter(kernel, 750_000)

    with meter, meter.measure() as taken:
        clock.sleep(0.5)
        counter(kernel, 900_000)

    assert meter.name == "RAPL package-0"
    assert "whole processor package, everything that ran on it included" in meter.scope
    assert taken.joules == pytest.approx(0.15)
    assert taken.seconds == pytest.approx(0.5)


@given(
    start=st.integers(0, 999_999),
    steps=st.lists(st.integers(0, 999_999), max_size=8),
)
def test_a_counter_that_begins_again_is_followed(tmp_path_factory, start, steps):
    kernel = Kernel(tmp_path_factory.mktemp("rapl"))
    package(kernel, "intel-rapl:0", "package-0", start)
    meter = find_meter(kernel.root).meter
    truth = 0
    for step in steps:
        truth += step
        counter(kernel, (start + truth) % 1_000_000)

        assert meter.read_uj() == truth


def test_packages_are_summed_and_what_they_hold_is_not_counted_twice(kernel):
    package(kernel, "intel-rapl:0", "package-0", 0)
    package(kernel, "intel-rapl:1", "package-1", 0)
    package(kernel, "intel-rapl:2", "psys", 0)
    package(kernel, "intel-rapl:0:0", "core", 0)
    package(kernel, "intel-rapl:0:1", "dram", 0)
    package(kernel, "intel-rapl-mmio:0", "package-0", 0)
    meter = find_meter(kernel.root).meter
    for place, zone in enumerate(
        ["intel-rapl:0", "intel-rapl:1", "intel-rapl:2", "intel-rapl:0:0", "intel-rapl:0:1"]
    ):
        counter(kernel, 10**place, zone)
    counter(kernel, 500_000, "intel-rapl-mmio:0")

    assert meter.read_uj() == 11
    assert meter.name == "RAPL package-0 + package-1"
    assert "all processor packages" in meter.scope


def test_a_counter_that_root_alone_may_read_gives_a_note_and_no_meter(kernel):
    kernel.show({f"{CAP}/intel-rapl:0/name": "package-0"})
    (kernel.root / CAP / "intel-rapl:0" / "energy_uj").mkdir()  # not even root reads that

    found = find_meter(kernel.root)

    assert found.meter is None
    assert "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj" in found.note


def test_a_machine_without_a_sensor_has_neither_meter_nor_note(kernel):
    kernel.show({f"{HWMON}/hwmon0/name": "nvme"})

    found = find_meter(kernel.root)

    assert (found.meter, found.note) == (None, None)


def test_a_counter_that_went_away_leaves_the_block_without_a_figure(kernel):
    package(kernel, "intel-rapl:0", "package-0", 1)
    meter = find_meter(kernel.root).meter

    with meter.measure() as taken:
        counter(kernel, "gone")

    assert taken.joules is None
    with pytest.raises(SensorLostError):
        meter.read_uj()


def test_a_counter_without_a_range_that_went_back_is_no_measurement(kernel):
    package(kernel, "intel-rapl:0", "package-0", 500, most="unknown")
    meter = find_meter(kernel.root).meter
    counter(kernel, 400)

    with pytest.raises(SensorLostError):
        meter.read_uj()


def test_what_goes_wrong_in_a_block_goes_through(kernel):
    package(kernel, "intel-rapl:0", "package-0", 1)
    meter = find_meter(kernel.root).meter

    with pytest.raises(ZeroDivisionError), meter.measure():
        raise ZeroDivisionError


def test_power_is_summed_over_time_by_trapezoids(kernel, clock):
    rail(kernel, "hwmon3", 1, "VDD_IN", 5000, 1000)  # 5 W
    rail(kernel, "hwmon3", 2, "VDD_CPU_GPU_CV", 5000, 400)
    meter = find_meter(kernel.root, clock).meter

    assert meter.read_uj() == 0
    clock.sleep(2)
    rail(kernel, "hwmon3", 1, "VDD_IN", 5000, 3000)  # 15 W
    assert meter.read_uj() == 20_000_000
    clock.sleep(1)
    assert meter.read_uj() == 35_000_000
    assert meter.name == "INA3221 VDD_IN"
    assert "power read every 50 ms" in meter.scope


def test_a_board_without_an_input_rail_has_the_sum_of_what_is_apart(kernel, clock):
    rail(kernel, "hwmon3", 1, "VDD_GPU_SOC", 20_000, 100)
    rail(kernel, "hwmon3", 2, "VDD_CPU_CV", 20_000, 50)
    rail(kernel, "hwmon3", 3, "VIN_SYS_5V0", 5000, 900)
    rail(kernel, "hwmon4", 2, "VDDQ_VDD2_1V8AO", 5000, 80)
    meter = find_meter(kernel.root, clock).meter

    assert meter.watts(2.0, clock.sleep) == pytest.approx(3.0)
    assert meter.name == "INA3221 VDD_GPU_SOC + VDD_CPU_CV"


def test_rails_that_are_unknown_are_no_measurement(kernel):
    rail(kernel, "hwmon3", 1, "SOMETHING", 5000, 100)
    rail(kernel, "hwmon3", 2, "VDD_CPU_CV", 5000, 100)

    assert find_meter(kernel.root).meter is None


def test_a_power_sensor_is_looked_at_between_readings(kernel, monkeypatch):
    monkeypatch.setattr(energy_ina3221, "INTERVAL_S", 0.001)
    rail(kernel, "hwmon3", 1, "VDD_IN", 5000, 1000)
    looked = threading.Semaphore(0)

    def clock():
        looked.release()
        return time.monotonic_ns()

    meter = find_meter(kernel.root, clock).meter
    with meter:
        meter.start()  # twice is once
        for _ in range(10):
            assert looked.acquire(timeout=10)
        assert meter.read_uj() > 0
    meter.stop()

    assert not [one for one in threading.enumerate() if one.name.startswith("energy")]


def test_a_power_sensor_that_fails_in_between_is_told_at_the_next_reading(kernel, monkeypatch):
    monkeypatch.setattr(energy_ina3221, "INTERVAL_S", 0.001)
    rail(kernel, "hwmon3", 1, "VDD_IN", 5000, 1000)
    meter = find_meter(kernel.root).meter
    with meter:
        (kernel.root / HWMON / "hwmon3" / "in1_input").unlink()
        for one in threading.enumerate():
            if one.name.startswith("energy"):
                one.join(10)  # it ends at the first look that fails
        rail(kernel, "hwmon3", 1, "VDD_IN", 5000, 1000)

        with meter.measure() as taken:
            pass

    assert taken.joules is None


class Scripted(EnergyMeter):
    """A meter whose readings are known."""

    name, scope = "a sensor", "a board"

    def read_uj(self):
        return 0


def tally(blocks, idle=None):
    made = EnergyTally(Scripted(), idle)
    for joules, seconds, inferences in blocks:
        made.add(Taken(joules, seconds), inferences)
    return made.use()


def test_energy_is_that_of_all_blocks_over_all_inferences():
    use = tally([(3.0, 1.0, 10), (1.0, 0.5, 6)])

    assert use.mj_per_inference == pytest.approx(250)
    assert (use.inferences, use.blocks) == (16, 2)
    assert (use.sensor, use.scope) == ("a sensor", "a board")
    assert use.net_mj_per_inference is None
    assert use.interval is None


def test_idle_power_is_taken_off_for_as_long_as_the_blocks_took():
    use = tally([(3.0, 1.0, 10), (1.0, 0.5, 6)], idle=2.0)

    assert use.idle_watts == 2.0
    assert use.net_mj_per_inference == pytest.approx(1000 * (4.0 - 3.0) / 16)


def test_blocks_that_took_no_more_than_idle_have_no_net_figure():
    use = tally([(3.0, 1.0, 10)], idle=5.0)

    assert use.net_mj_per_inference is None
    assert use.mj_per_inference == pytest.approx(300)


def test_what_blocks_differ_by_is_no_net_figure():
    blocks = [(2.0 + (0.5 if n % 2 else -0.48), 1.0, 10) for n in range(20)]

    assert tally(blocks, idle=2.0).net_mj_per_inference is None
    assert tally(blocks, idle=1.0).net_mj_per_inference == pytest.approx(101)


def test_a_block_that_was_not_measured_is_left_out():
    use = tally([(3.0, 1.0, 10), (None, 1.0, 10), (1.0, 1.0, 0)])

    assert use.mj_per_inference == pytest.approx(300)
    assert use.inferences == 10


@pytest.mark.parametrize("blocks", [[], [(None, 1.0, 10)], [(0.0, 1.0, 10)]])
def test_what_was_not_measured_is_absent(blocks):
    assert tally(blocks) is None


@given(st.lists(st.floats(0.5, 2.0), min_size=5, max_size=300))
def test_the_interval_lies_among_the_blocks_and_holds_equal_ones(joules):
    use = tally([(each, 1.0, 10) for each in joules])

    assert min(joules) * 100 - 1e-6 <= use.interval.low <= use.interval.high
    assert use.interval.high <= max(joules) * 100 + 1e-6
    assert use.interval == tally([(each, 1.0, 10) for each in joules]).interval


def test_blocks_that_differ_make_a_wider_interval():
    steady = tally([(1.0 + 0.01 * (n % 2), 1.0, 10) for n in range(40)]).interval
    noisy = tally([(1.0 + 0.5 * (n % 2), 1.0, 10) for n in range(40)]).interval

    assert noisy.high - noisy.low > 10 * (steady.high - steady.low)
    assert noisy.low < 125 < noisy.high
