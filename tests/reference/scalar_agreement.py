"""Agreement of two detectors on one threshold, one pair at a time, from its definition.

Class-aware micro-F1; the reference's detections from the threshold up are the truth; greedy by
score, IoU >= 0.5; a detection of either side within 0.05 of the threshold that finds no partner
counts for neither. Shares nothing with what it checks.
"""

from __future__ import annotations

from scalar_ap import overlap


def micro_f1(reference, candidate, threshold):
    """Per image [(box, score, class)]; returns (f1 or None, matched, missed, extra)."""
    matched = missed = extra = 0
    for truth, found in zip(reference, candidate, strict=True):
        left = [row for row in truth if row[1] >= threshold]
        above = [row for row in found if row[1] >= threshold]
        for box, score, kind in sorted(above, key=lambda row: -row[1]):
            best = None
            for row in left:
                if row[2] != kind or overlap(box, row[0]) < 0.5:
                    continue
                if best is None or overlap(box, row[0]) > overlap(box, best[0]):
                    best = row
            if best is not None:
                left.remove(best)
                matched += 1
            elif score - threshold > 0.05 + 1e-6:
                extra += 1
        missed += sum(1 for row in left if row[1] - threshold > 0.05 + 1e-6)
    weight = 2 * matched + missed + extra
    return (2 * matched / weight if weight else None), matched, missed, extra
