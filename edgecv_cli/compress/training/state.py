"""Everything that changes while a network is tuned, as arrays and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.compress.training.schedule import Recipe
from edgecv_cli.core.errors import DataError

Arrays = dict[str, NDArray[Any]]
_LEAST_SIZE = 1e-3  # of a tensor of zeros, which has to be able to move


class State:
    """Weights, their moving average, and AdamW's moments (Loshchilov and Hutter 2019).

    No decay: the weights were good before, and are held to what the teacher says.

    Attributes:
        average: moving average of each weight; it is what is judged and kept.
    """

    def __init__(self, torch: ModuleType, weights: Mapping[str, Any], recipe: Recipe) -> None:
        self._torch, self._weights, self._recipe = torch, weights, recipe
        self._sizes = {
            name: max(_LEAST_SIZE, math.sqrt(float(one.detach().square().mean())))
            for name, one in weights.items()
        }
        self._optimiser = torch.optim.AdamW(
            [{"params": [one], "lr": 0.0} for one in weights.values()], weight_decay=0.0
        )
        self.average = {name: one.detach().clone() for name, one in weights.items()}

    def update(self, rate: float, step: int) -> bool:
        """Move the weights along their gradients; False, and nothing moves, if one is not finite.

        Args:
            rate: relative to each tensor's size.
            step: updates made before this one.
        """
        torch = self._torch
        weights = list(self._weights.values())
        norm = torch.nn.utils.clip_grad_norm_(weights, self._recipe.clip)
        if not math.isfinite(float(norm)):
            return False
        groups = zip(self._optimiser.param_groups, self._sizes.values(), strict=True)
        for group, size in groups:
            group["lr"] = rate * size
        self._optimiser.step()
        self._optimiser.zero_grad()
        keep = min(self._recipe.average, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, one in self._weights.items():
                self.average[name].lerp_(one, 1 - keep)
        return True

    def begin_at(self, values: Mapping[str, NDArray[Any]]) -> None:
        """Set the weights and their average, and forget the moments."""
        torch = self._torch
        with torch.no_grad():
            for name, one in self._weights.items():
                for held in (one, self.average[name]):
                    held.copy_(torch.as_tensor(values[name]))
        self._optimiser.state.clear()

    def arrays(self) -> Arrays:
        """Return all of it; names are ``kind/place of the weight``."""
        found: Arrays = {}
        for place, (name, one) in enumerate(self._weights.items()):
            moments = self._optimiser.state.get(one, {})
            tensors = {"weight": one, "average": self.average[name], **moments}
            for kind, tensor in tensors.items():
                found[f"{kind}/{place}"] = np.array(tensor.detach().cpu().numpy())
        return found

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take up what :meth:`arrays` returned.

        Raises:
            DataError: an array is missing or has another shape.
        """
        torch = self._torch
        with torch.no_grad():
            for place, (name, one) in enumerate(self._weights.items()):
                one.copy_(self._taken(arrays, f"weight/{place}", one))
                self.average[name].copy_(self._taken(arrays, f"average/{place}", one))
                if f"exp_avg/{place}" in arrays:
                    moments = ("exp_avg", "exp_avg_sq")
                    taken = {kind: self._taken(arrays, f"{kind}/{place}", one) for kind in moments}
                    taken["step"] = self._taken(arrays, f"step/{place}", torch.zeros(()))
                    self._optimiser.state[one] = taken

    def _taken(self, arrays: Mapping[str, NDArray[Any]], key: str, like: Any) -> Any:
        value = arrays.get(key)
        if value is None or value.shape != tuple(like.shape) or value.dtype != np.float32:
            raise DataError(
                f"the checkpoint lacks '{key}', or holds it in another shape",
                remedy="leave --resume out and add --force to begin anew",
            )
        return self._torch.as_tensor(np.array(value), device=like.device)
