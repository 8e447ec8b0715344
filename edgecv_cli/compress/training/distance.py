"""How far a student's raw predictions are from its teacher's."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from types import ModuleType
from typing import Any

_FLOOR = 0.1  # of the mean variance, for channels that hardly vary
_SMALL = 1e-8


class Distance:
    """Squared error of each head over the variance of what the teacher makes there, averaged.

    Each head counts twice: as it is, each channel by its own variance, and through a sigmoid,
    where most of the background is alike and what differs is what is found. Predicting the
    teacher's mean everywhere gives about 1; the teacher itself gives 0. Feature maps count once,
    as they are (Romero et al. 2015, "FitNets"), and as much as the heads all together.

    Args:
        torch: the module.
        teacher: what the teacher makes of each of some images, by head or feature map.
        features: which of them are feature maps.
    """

    def __init__(
        self,
        torch: ModuleType,
        teacher: Iterable[Mapping[str, Any]],
        features: Collection[str] = (),
    ) -> None:
        self._torch, self._features = torch, frozenset(features)
        made = list(teacher)
        self._spread: dict[str, tuple[Any, Any]] = {}
        for name in made[0]:
            stacked = torch.cat([one[name].detach().float() for one in made])
            axes = tuple(axis for axis in range(stacked.dim()) if axis != 1 or stacked.dim() < 3)
            own = stacked.var(dim=axes, keepdim=True, unbiased=False)
            whole = torch.sigmoid(stacked).var(unbiased=False)
            self._spread[name] = (
                torch.clamp(own, min=_FLOOR * own.mean() + _SMALL),
                whole + _SMALL,
            )

    def __call__(self, student: Mapping[str, Any], teacher: Mapping[str, Any]) -> Any:
        """Return the distance, a tensor of one number."""
        torch = self._torch
        parts, maps = [], []
        for name, (own, whole) in self._spread.items():
            one, other = student[name].float(), teacher[name].detach().float()
            raw = ((one - other).square() / own).mean()
            if name in self._features:
                maps.append(raw)
                continue
            found = (torch.sigmoid(one) - torch.sigmoid(other)).square().mean() / whole
            parts.append((raw + found) / 2)
        heads = torch.stack(parts).mean()
        return (heads + torch.stack(maps).mean()) / 2 if maps else heads
