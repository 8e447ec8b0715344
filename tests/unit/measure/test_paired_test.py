"""Whether two detectors differ: the permutation test, and what is said of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from detection_sets import dataset, detections, random_set

from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.result import Interval
from edgecv_cli.measure.accuracy import evaluate_detections
from edgecv_cli.measure.accuracy_difference import accuracy_difference, single_words
from edgecv_cli.measure.coco import coco_figures
from edgecv_cli.measure.detailed_accuracy import detailed_accuracy
from edgecv_cli.measure.paired_test import paired_test
from edgecv_cli.measure.resampling import ClassMatches

CLASS_MAP = {0: 1, 1: 2, 2: 3}


def drawn_matches(rng, truths, skill):
    """One class's detections by a made-up detector: each object is found with some luck."""
    counts = truths + rng.poisson(0.4, len(truths))
    image = np.repeat(np.arange(len(truths)), counts)
    real = np.concatenate([np.arange(n) < t for n, t in zip(counts, truths, strict=True)])
    level = np.where(real & (rng.random(len(image)) < skill), rng.integers(0, 11, len(image)), 0)
    score = np.round(np.clip(rng.normal(0.3 + 0.04 * level, 0.15), 0.01, 1), 2)
    order = np.argsort(-score, kind="stable")
    right = np.arange(10)[:, None] < level[order]
    return ClassMatches(image[order], score[order], right, np.ones_like(right), truths)


def trial(seed, *, images=14, classes=2, skills=(0.85, 0.85)):
    rng = np.random.default_rng(seed)
    truths = [rng.poisson(0.8, images) for _ in range(classes)]
    sides = [[drawn_matches(rng, one, skill) for one in truths] for skill in skills]
    return paired_test(*sides, images, seed=seed, permutations=119)


def test_alike_detectors_are_told_apart_in_about_one_of_twenty_sets():
    sets = 200

    told = [trial(seed) for seed in range(sets)]

    # 5 % of 200 are 10; 3 to 19 holds 99 % of such counts. By class as well, over all classes.
    assert 3 <= sum(one.p_value < 0.05 for one in told) <= 19
    assert 1 <= sum((one.p_by_class < 0.05).any() for one in told) <= 19


def rescaled(matches):
    return replace(matches, score=matches.score / 10)


def test_only_the_order_of_a_detectors_own_scores_counts():
    rng = np.random.default_rng(11)
    truths = [rng.poisson(0.1, 40) for _ in range(8)]
    first, second = ([drawn_matches(rng, one, 0.85) for one in truths] for _ in range(2))

    plain = paired_test(first, second, 40, seed=1, permutations=119)
    other = paired_test(first, [rescaled(one) for one in second], 40, seed=1, permutations=119)

    assert other.p_value == plain.p_value
    assert np.array_equal(other.p_by_class, plain.p_by_class, equal_nan=True)


def test_a_detector_that_is_much_better_is_told_apart():
    told = [trial(seed, images=40, skills=(0.95, 0.45)) for seed in range(12)]

    assert sum(one.p_value < 0.05 for one in told) >= 8
    assert all(one.difference > 0 for one in told)


def test_the_interval_leaves_out_nothing_just_where_p_says_so():
    told = [trial(seed, skills=(0.95, 0.5)) for seed in range(30)]

    significant = [one.p_value < 0.05 for one in told]
    assert 0 < sum(significant) < 30
    assert significant == [abs(one.difference) > one.reach for one in told]


def ranked(found):
    """Give each detection a score by its place among its detector's of the same class."""
    rows = [(image, row) for image, one in enumerate(found) for row in one]
    rows.sort(key=lambda each: -each[1][4])  # stable, as images come
    places, answers = Counter(), [[] for _ in found]
    for image, (*box, _, kind) in rows:
        answers[image].append((*box, 1 - places[kind] / 1000, kind))
        places[kind] += 1
    return [detections(rows) for rows in answers]


def test_every_draw_is_the_map_of_detections_that_changed_sides():
    data, first = random_set(1, images=8)
    _, second = random_set(2, images=8)
    matches = [coco_figures(data, found, CLASS_MAP).matches for found in (first, second)]
    draws = np.random.default_rng(5).integers(0, 2, (39, 8))

    test = paired_test(*matches, 8, seed=5, permutations=39)

    def difference(stays):
        sides = zip(ranked(first), ranked(second), stays, strict=True)
        swapped = [(a, b) if stay else (b, a) for a, b, stay in sides]
        one, other = (
            evaluate_detections(data, list(side), CLASS_MAP, resamples=0).map
            for side in zip(*swapped, strict=True)
        )
        return one - other

    seen = difference(np.ones(8))
    assert test.difference == pytest.approx(seen, abs=1e-12)
    beyond = sum(abs(difference(stays)) >= abs(seen) - 1e-12 for stays in draws)
    assert test.p_value == pytest.approx((1 + beyond) / 40)


def test_the_same_detections_do_not_differ():
    data, found = random_set(3)
    matches = coco_figures(data, found, CLASS_MAP).matches

    test = paired_test(matches, matches, 12, seed=0)

    assert (test.difference, test.p_value, test.reach, test.spread) == (0, 1, 0, 0)
    assert np.nanmin(test.p_by_class) == 1


def test_matchings_of_other_objects_are_refused():
    (data, found), (other, others) = random_set(3), random_set(4)
    matches = coco_figures(data, found, CLASS_MAP).matches

    with pytest.raises(ValueError, match="same objects"):
        paired_test(matches, coco_figures(other, others, CLASS_MAP).matches, 12, seed=0)
    with pytest.raises(ValueError, match="10 permutations"):
        paired_test(matches, matches, 12, seed=0, permutations=10)


def test_without_objects_there_is_nothing_to_test():
    data = dataset([[]] * 6, [[]] * 6, names={1: "cat"})
    matches = coco_figures(data, [Detections.empty()] * 6, CLASS_MAP).matches

    with pytest.raises(ValueError, match="no class"):
        paired_test(matches, matches, 6, seed=0)


def spots(images, found_by, shift=0):
    """Return as many cats, of which a detector finds those of ``found_by``."""
    box = (10, 10, 60, 60)
    data = dataset([[box]] * images, [[1]] * images, names={1: "cat"})
    hit = detections([(*box[:2], 60 + shift, 60, 0.9, 0)])
    found = [hit if place in found_by else Detections.empty() for place in range(images)]
    return detailed_accuracy(data, found, CLASS_MAP)


def test_what_is_shown_is_said_with_who_is_better():
    good, bad = spots(20, set(range(20))), spots(20, set(range(5)))

    found = accuracy_difference(good, bad, ("a.onnx", "b.onnx"))
    turned = accuracy_difference(bad, good, ("b.onnx", "a.onnx"))

    assert found.distinguishable
    assert found.p_value < 0.01
    assert found.text.startswith("a.onnx is better than b.onnx by 74.3 points (")
    assert turned.text == found.text
    assert turned.points == pytest.approx(-found.points)
    (cat,) = found.per_class
    assert (cat.name, cat.objects, cat.map) == ("cat", 20, pytest.approx(1))
    assert found.interval.low > 0


def test_what_is_not_shown_is_said_with_the_number_of_images():
    some, others = spots(12, set(range(8))), spots(12, set(range(1, 10)))

    found = accuracy_difference(some, others, ("a", "b"))

    assert not found.distinguishable
    assert found.per_class == ()
    low, high = found.interval.low, found.interval.high
    assert low < 0 < high
    assert found.text == (
        f"not distinguishable at 12 images (difference {found.points:+.1f} points, "
        f"{low:+.1f} to {high:+.1f})"
    )
    assert found.images_for_a_point > 1000


def test_four_times_the_images_halve_the_spread_and_need_no_more():
    few, many = (
        accuracy_difference(*(spots(n, {p for p in range(n) if p % 4 != r}) for r in (0, 1)), "ab")
        for n in (12, 48)
    )

    assert many.images_for_a_point == pytest.approx(few.images_for_a_point, rel=0.2)


def test_five_images_show_nothing():
    found = accuracy_difference(spots(5, set(range(5))), spots(5, set()), ("a", "b"))

    assert found.interval is None
    assert found.images_for_a_point is None
    assert found.text == "not distinguishable at 5 images (difference +100.0 points)"


def test_the_same_model_twice_needs_no_number_of_images():
    one = spots(10, set(range(7)))

    found = accuracy_difference(one, one, ("a", "b"))

    assert (found.points, found.p_value, found.images_for_a_point) == (0, 1, None)
    assert "(difference +0.00 points, +0.00 to +0.00)" in found.text


def test_other_images_are_no_pair():
    with pytest.raises(ValueError, match="not paired"):
        accuracy_difference(spots(10, {1}), spots(11, {1}), ("a", "b"))


def test_one_model_is_told_what_its_images_can_tell():
    wide = single_words(Interval(low=0.30, high=0.376), 100)
    narrow = single_words(Interval(low=0.50, high=0.51), 5000)

    assert wide == (
        "100 images tell mAP to about 3.8 points either way; for 1 point it would take about 1,500"
    )
    assert narrow == "5,000 images tell mAP to about 0.5 points either way"
    assert single_words(None, 1).startswith("1 image can't tell")
