"""A watch and a meter around timed blocks."""

from __future__ import annotations

import pytest
from kernel import Kernel

from edgecv_cli.measure.energy import find_meter
from edgecv_cli.measure.energy_meter import EnergyMeter
from edgecv_cli.measure.instruments import IDLE_SECONDS, Instruments, of_this_machine
from edgecv_cli.measure.machine_watch import MachineWatch

COUNTER = "sys/class/powercap/intel-rapl:0/energy_uj"
WARM = "sys/class/thermal/thermal_zone0/temp"


class Machine:
    """Time that passes, heat, and a counter of energy, all by hand."""

    def __init__(self, root):
        self.kernel = Kernel(root)
        self.now = self.energy = 0
        self.kernel.show(
            {
                "sys/class/powercap/intel-rapl:0/name": "package-0",
                "sys/class/powercap/intel-rapl:0/max_energy_range_uj": 10**12,
                "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
                WARM: 50_000,
                COUNTER: 0,
            }
        )

    def clock(self):
        return self.now

    def work(self, seconds, watts):
        self.now += round(seconds * 1e9)
        self.energy += round(seconds * watts * 1e6)
        self.kernel.show({COUNTER: self.energy, WARM: 50_000 + self.now // 1_000_000})

    def idle(self, seconds):
        self.work(seconds, 4)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_rows_are_measured_and_the_machine_is_watched(machine):
    root = machine.kernel.root
    watch = MachineWatch(root, clock=machine.clock, cores=[0], pid=1)
    meter = find_meter(root, machine.clock).meter
    instruments = Instruments(watch, meter, sleep=machine.idle)
    with instruments.running():
        tally = instruments.tally()
        for _ in range(3):
            with tally.meter.measure() as taken:
                machine.work(0.5, 10)
            tally.add(taken, 25)
            machine.work(0.1, 40)  # between the blocks: nobody's
            instruments.sample()
        ended = machine.now

    use = tally.use()
    assert use.mj_per_inference == pytest.approx(200)
    assert use.idle_watts == pytest.approx(4)
    assert use.net_mj_per_inference == pytest.approx(120)
    # Idle comes before the watch, and is no part of the rounds.
    assert instruments.conditions.temperature_first_c == 50 + IDLE_SECONDS
    assert instruments.conditions.temperature_last_c == pytest.approx(50 + ended / 1e9)
    assert instruments.warnings == ()


def test_without_instruments_nothing_is_measured():
    instruments = Instruments()
    with instruments.running():
        instruments.sample()

    assert instruments.tally() is None
    assert instruments.conditions is None
    assert instruments.warnings == ()


class Recorder(EnergyMeter):
    """A meter that keeps what it was asked to do."""

    name, scope = "a sensor", "a board"

    def __init__(self):
        self.asked = []

    def read_uj(self):
        self.asked.append("read")
        return 0

    def start(self):
        self.asked.append("start")

    def stop(self):
        self.asked.append("stop")


def failing(instruments):
    with instruments.running():
        raise ZeroDivisionError


def test_sampling_ends_when_the_rounds_fail():
    meter = Recorder()

    with pytest.raises(ZeroDivisionError):
        failing(Instruments(meter=meter, sleep=lambda _: None))

    assert meter.asked == ["start", "read", "read", "stop"]


def test_this_machine_has_instruments_or_none():
    instruments, note = of_this_machine()

    assert note is None or "chmod" in note
    assert instruments.conditions is None
