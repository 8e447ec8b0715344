"""Whose processor time it was: ours, another process's, or another machine's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel import Kernel

from edgecv_cli.measure.machine.load import Load
from edgecv_cli.measure.machine.processes import family, family_ticks, processes

OURS = 500


@pytest.fixture
def kernel(tmp_path):
    kernel = Kernel(tmp_path)
    kernel.stat({"idle": 1000}, {"idle": 1000})
    kernel.process(OURS, ticks=10)
    return kernel


def begun(kernel, cores=(0, 1)):
    source = Load(kernel.root, cores, OURS)
    source.begin()
    return source


def test_a_machine_that_works_for_us_alone_has_no_other_load(kernel):
    source = begun(kernel)
    kernel.stat({"idle": 1000, "user": 1000}, {"idle": 1500, "system": 500})
    kernel.process(OURS, ticks=110)
    kernel.process(501, parent=OURS, ticks=1400)

    seen = source.end()

    assert seen.warnings == ()
    assert seen.figures["other_load"] == 0
    assert seen.figures["steal"] == 0


def test_another_process_is_told_by_name_and_cores(kernel):
    kernel.process(7, name="indexer", ticks=5000, start=3)
    source = begun(kernel)
    kernel.stat({"idle": 1000, "user": 1000}, {"idle": 1500, "user": 500})
    kernel.process(OURS, ticks=1010)
    kernel.process(7, name="indexer", ticks=5400, start=3)
    kernel.process(8, name="other", ticks=90)

    seen = source.end()

    assert seen.figures["other_load"] == pytest.approx(0.5)
    assert len(seen.warnings) == 1
    assert "other processes used 0.5 of 2 cores" in seen.warnings[0]
    assert "(most: indexer, 0.4)" in seen.warnings[0]


def test_children_that_ended_in_between_are_ours(kernel):
    source = begun(kernel)
    kernel.stat({"idle": 1000, "user": 1000}, {"idle": 2000})
    kernel.process(OURS, ticks=10, ended_children=1000)

    assert source.end().figures["other_load"] == 0


def test_a_child_of_a_child_is_ours(kernel):
    source = begun(kernel)
    kernel.stat({"idle": 1000, "user": 1000}, {"idle": 2000})
    kernel.process(501, parent=OURS)
    kernel.process(502, parent=501, ticks=1000)

    seen = source.end()

    assert seen.figures["other_load"] == 0
    assert seen.warnings == ()


def test_a_number_that_is_given_again_is_another_process(kernel):
    kernel.process(7, name="before", ticks=900, start=3)
    source = begun(kernel)
    kernel.stat({"idle": 1000, "user": 1000}, {"idle": 2000})
    kernel.process(7, name="after", ticks=800, start=777)

    assert "(most: after, 0.8)" in source.end().warnings[0]


def test_a_little_background_is_no_warning(kernel):
    source = begun(kernel)
    kernel.stat({"idle": 1900, "user": 100}, {"idle": 1950, "softirq": 50})

    seen = source.end()

    assert seen.figures["other_load"] == pytest.approx(0.15)
    assert seen.warnings == ()


def test_waiting_for_a_disk_is_not_load(kernel):
    source = begun(kernel)
    kernel.stat({"idle": 1000, "iowait": 1000}, {"idle": 2000})

    assert source.end().figures["other_load"] == 0


def test_what_a_hypervisor_took_is_told(kernel):
    source = begun(kernel)
    kernel.stat({"idle": 1900, "steal": 100}, {"idle": 2000})

    seen = source.end()

    assert seen.figures["steal"] == pytest.approx(0.05)
    assert seen.figures["other_load"] == 0
    assert "took 5.0% of this machine's processor time" in seen.warnings[0]


def test_a_steal_of_one_per_cent_is_no_warning(kernel):
    source = begun(kernel)
    kernel.stat({"idle": 1980, "steal": 20}, {"idle": 2000})

    assert source.end().warnings == ()


def test_cores_that_may_not_be_used_do_not_count(kernel):
    source = begun(kernel, cores=[1])
    kernel.stat({"user": 9000, "steal": 5000}, {"idle": 2000})

    seen = source.end()

    assert seen.figures["other_load"] == 0
    assert seen.warnings == ()


def test_a_run_shorter_than_the_ticks_can_tell_says_nothing(kernel):
    source = begun(kernel)
    kernel.stat({"idle": 1000, "user": 40}, {"idle": 1000, "user": 40})

    assert source.end().figures == {}


def test_where_processes_are_hidden_load_is_absent_and_steal_is_not(tmp_path):
    kernel = Kernel(tmp_path)
    kernel.stat({"idle": 0})
    source = begun(kernel, cores=[0])
    kernel.stat({"user": 900, "steal": 100})

    seen = source.end()

    assert seen.figures["other_load"] is None
    assert seen.figures["steal"] == pytest.approx(0.1)


def test_a_core_that_was_taken_away_says_nothing(kernel):
    source = begun(kernel)
    kernel.stat({"user": 9000})

    assert source.end().figures == {}


def test_a_system_without_proc_says_nothing(tmp_path):
    assert begun(Kernel(tmp_path)).end().figures == {}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a) S 1 (b", "a_S_1_b"),
        ("[bold]\x1b[31mred", "_bold_31mred"),
        ("line\nbreak", "line_break"),
        ("", "unnamed"),
    ],
)
def test_a_name_says_nothing_but_itself(tmp_path, name, shown):
    kernel = Kernel(tmp_path)
    kernel.process(9, parent=4, name=name, ticks=3)

    found = processes(kernel.root)[9]

    assert (found.name, found.parent, found.ticks) == (shown, 4, 3)


@given(st.text(max_size=80))
def test_any_text_is_read_without_a_failure(tmp_path_factory, content):
    kernel = Kernel(tmp_path_factory.mktemp("any"))
    kernel.show({"proc/9/stat": content.encode("utf-8", "ignore").decode()})

    assert processes(kernel.root) == {}


def test_a_circle_of_parents_ends(tmp_path):
    kernel = Kernel(tmp_path)
    kernel.process(3, parent=4, ticks=1)
    kernel.process(4, parent=3, ticks=2)
    every = processes(kernel.root)

    assert family(every, 3) == {3, 4}
    assert family_ticks(every, 3) == 3
