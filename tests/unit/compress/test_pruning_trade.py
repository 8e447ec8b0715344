"""Whole cuts are held against each other, and channels traded between groups."""

from __future__ import annotations

import models
import numpy as np
import pytest

from edgecv_cli.compress.pruning.allocate import allocate, by_macs, part_of
from edgecv_cli.compress.pruning.analyse import analyse
from edgecv_cli.compress.pruning.curves import Curve
from edgecv_cli.compress.pruning.trade import Budget, Trade
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.shuffle import with_gathered_shuffles
from edgecv_cli.graph.topology import Topology

SHARE = 0.7


@pytest.fixture(scope="module")
def flow():
    return analyse(Topology.of(with_gathered_shuffles(normalise(models.yolov8()))))


@pytest.fixture(scope="module")
def curves(flow):
    """Say of every group alone that its units cost the same."""
    return [
        Curve(group, units, np.arange(1.0, len(units) + 1))
        for group in flow.groups
        for units in [group.units[: len(group.units) // 2]]
        if len(units)
    ]


@pytest.fixture(scope="module")
def plain(flow, curves):
    return allocate(flow, curves, share=SHARE, step=1)[0]


def trade(flow, curves, loss, *, share=SHARE, most=200):
    return Trade(flow, curves, Budget(by_macs(flow), share, 1), loss, most=most).best()


def test_what_only_the_whole_shows_is_traded_away(flow, curves, plain):
    """Units that the curves take first turn out to cost ten times as much together."""
    dear = {int(unit) for unit in plain}
    asked = []

    def loss(removed):
        asked.append(removed)
        return sum(10 if unit in dear else 1 for unit in removed) / 1000

    found = trade(flow, curves, loss)
    assert part_of(flow, by_macs(flow), found) <= SHARE
    assert loss(found) < loss(plain)
    assert loss(found) == min(
        loss(one) for one in set(asked) if part_of(flow, by_macs(flow), one) <= SHARE
    )
    assert len(set(asked)) <= 210


def test_a_plain_share_that_nothing_beats_is_kept(flow, curves, plain):
    found = trade(flow, curves, lambda removed: 0.0 if removed == plain else 1.0)
    assert found == plain


def test_a_budget_out_of_reach_takes_all_that_may_leave(flow, curves):
    every = flow.survivable({int(unit) for curve in curves for unit in curve.order})
    assert trade(flow, curves, lambda removed: len(removed) / 1e4, share=0.001) == every


def test_no_more_cuts_are_measured_than_there_is_time_for(flow, curves):
    asked = []

    def loss(removed):
        asked.append(removed)
        return 1 / (1 + len(asked))

    trade(flow, curves, loss, most=12)
    assert len(asked) <= 12 + 5
