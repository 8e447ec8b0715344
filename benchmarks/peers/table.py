"""The Markdown that the figures become."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Rows = Sequence[Mapping[str, Any]]
_ABSENT = "–"


def document(models: Mapping[str, Mapping[str, Any]], head: Sequence[str], cap: str) -> str:
    """Return the whole page: how it was made, the means over models, each model.

    Args:
        models: model name to what ``quantize_vs_peers.py`` keeps of it.
        head: lines on how the figures were made.
        cap: name of the cap of the second speed column; empty leaves the column out.
    """
    parts = ["\n".join(f"- {line}" for line in head)]
    if len(models) > 1:
        parts += ["## Means", _means([entry["rows"] for entry in models.values()], cap)]
    for name, entry in models.items():
        parts += [f"## {name}", _table(entry["rows"], cap), *_notes(entry)]
    return "\n\n".join(parts) + "\n"


def _table(rows: Rows, cap: str) -> str:
    head = [
        *("made by", "engine", "mAP50-95 (interval)", "points lost (interval)", "mAP, all images"),
        *("p50 ms", "speed (interval)"),
        *([f"speed, {cap}"] if cap else []),
        *("MB", "layers as run", "made in s"),
    ]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        if row["map"] is None and row["error"]:
            cells = [row["label"], row["engine"], f"failed: {row['error']}"]
            lines.append(cells + [""] * (len(head) - len(cells)))
            continue
        lines.append(_cells(row, cap))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cells(row: Mapping[str, Any], cap: str) -> list[str]:
    baseline = row["key"] == "fp32"
    speed = f"failed: {row['error']}" if row["error"] else _speed(row["speed"], baseline=baseline)
    capped = row["capped_error"] or _speed(row["capped"], baseline=baseline)
    return [
        row["label"],
        row["engine"],
        f"{row['map']:.3f} ({row['low']:.3f} to {row['high']:.3f})",
        "0" if baseline else _interval(row["drop"], row["drop_low"], row["drop_high"]),
        f"{row['map_all']:.3f}",
        _ABSENT if row["p50_ms"] is None else f"{row['p50_ms']:.2f}",
        speed,
        *([capped] if cap else []),
        f"{row['size_bytes'] / 1e6:.2f}",
        row["layers"].replace("unknown", _ABSENT),
        _ABSENT if row["seconds"] is None else f"{row['seconds']:.0f}",
    ]


def _notes(entry: Mapping[str, Any]) -> list[str]:
    lines = [f"- {row['label']}: {row['note']}" for row in entry["rows"] if row["note"]]
    if entry["warnings"]:
        lines.append(
            f"- {len(entry['warnings'])} warnings about the timing (the JSON has them all), the "
            f"first: {entry['warnings'][0]}"
        )
    return ["\n".join(lines)] if lines else []


def _interval(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return _ABSENT
    value = round(value, 1) + 0.0  # no "-0.0"
    return f"{value:.1f}" if low is None else f"{value:.1f} ({low:.1f} to {high:.1f})"


def _speed(figure: Sequence[float] | None, *, baseline: bool = False) -> str:
    if baseline:
        return "1"
    if figure is None:
        return _ABSENT
    return f"{figure[0]:.2f} ({figure[1]:.2f} to {figure[2]:.2f})"


def _means(models: Sequence[Rows], cap: str) -> str:
    head = ["made by", "engine", "models", "mean points lost (interval)", "worst"]
    head += ["geometric mean of speed (interval)", *([f"the same, {cap}"] if cap else [])]
    lines = [head, ["---"] * len(head)]
    for place, first in enumerate(models[0]):
        rows = [model[place] for model in models if model[place]["map"] is not None]
        if rows and first["key"] != "fp32":
            lines.append(_mean_cells(rows, len(models), cap))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _mean_cells(rows: Rows, of: int, cap: str) -> list[str]:
    mean = float(np.mean([row["drop"] for row in rows]))
    # The same image sets were drawn for every model, so their drops are averaged set by set.
    drawn = np.mean([row["resampled"] for row in rows], axis=0)
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return [
        rows[0]["label"],
        rows[0]["engine"],
        f"{len(rows)} of {of}",
        _interval(mean, float(low), float(high)),
        f"{max(row['drop'] for row in rows):.1f}",
        geometric([row["speed"] for row in rows]),
        *([geometric([row["capped"] for row in rows])] if cap else []),
    ]


def geometric(figures: Sequence[Sequence[float] | None]) -> str:
    """Return the geometric mean of speed-ups; intervals are combined as if independent."""
    known = [figure for figure in figures if figure is not None]
    if not known:
        return _ABSENT
    mean = sum(math.log(figure[0]) for figure in known) / len(known)
    half = math.sqrt(sum((math.log(one[2] / one[1]) / 2) ** 2 for one in known)) / len(known)
    text = _speed([math.exp(mean), math.exp(mean - half), math.exp(mean + half)])
    return text if len(known) == len(figures) else f"{text}, {len(known)} models"
