"""A graph that gradients flow through: instructions run one by one in torch.

Nothing is exported from here. Trained weights are written back into the graph that they came from
(:mod:`edgecv_cli.compress.training.write_back`), so that the file keeps its nodes and names.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.compress.training.ops_quantize import QUANTIZING
from edgecv_cli.compress.training.program import Instruction, Program
from edgecv_cli.compress.training.registry import OPS
from edgecv_cli.core.errors import ModelError
from edgecv_cli.core.require import require

_RUN = {**OPS, **QUANTIZING}


def torch_module() -> ModuleType:
    """Import torch.

    Raises:
        MissingDependencyError: the training extra is not installed.
    """
    return require("torch", pip="'edgecv[train]'", why="fine-tuning")


def ran_out(error: BaseException) -> bool:
    """Whether an error of torch, which has no class for it on every device, means no memory."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in said or "allocate memory" in said


class Network:
    """An ONNX graph in torch.

    Args:
        program: the graph.
        trained: whether its weights take gradients.
        device: where it runs, such as ``cpu`` or ``cuda``.

    Attributes:
        weights: the tensors that can be trained, by the name of their initializer.
    """

    def __init__(self, program: Program, *, trained: bool, device: str = "cpu") -> None:
        self._torch = torch_module()
        self._program, self._device = program, device
        self.weights: dict[str, Any] = {
            name: self._stored(value).requires_grad_(trained)
            for name, value in program.weights.items()
        }
        self._constants = {name: self._stored(value) for name, value in program.constants.items()}

    def __call__(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        """Return the tensors of ``program.kept`` for one feed, by name.

        Raises:
            ModelError: a node can't be run; it is named.
            MemoryError: there is not enough memory.
        """
        torch = self._torch
        values: dict[str, Any] = {
            name: torch.as_tensor(np.array(feeds[name]), device=self._device)
            for name in self._program.inputs
        }
        for step in self._program.instructions:
            made = self._run(step, values)
            values.update(zip(step.outputs, made, strict=False))
            for name in step.done_with:
                values.pop(name, None)
        return {name: self._value(name, values) for name in self._program.kept}

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return copies of the weights, as they are now."""
        return {name: one.detach().cpu().numpy().copy() for name, one in self.weights.items()}

    def _stored(self, value: NDArray[Any]) -> Any:
        tensor = self._torch.as_tensor(np.array(value))
        # Integers are sizes and indices, which are read on the host.
        return tensor.to(self._device) if tensor.is_floating_point() else tensor

    def _value(self, name: str, values: Mapping[str, Any]) -> Any:
        for held in (values, self.weights, self._constants):
            if name in held:
                return held[name]
        return None

    def _run(self, step: Instruction, values: Mapping[str, Any]) -> tuple[Any, ...]:
        operands = [self._value(name, values) if name else None for name in step.inputs]
        try:
            made = _RUN[step.op](self._torch, operands, step.attributes)
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError) as error:
            if ran_out(error):
                raise MemoryError(str(error)) from error
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelError(
                f"training can't run the {step.op} of node '{step.name}': {reason}",
                remedy="do without training: `edgecv prune --recover reconstruct`",
            ) from error
        return made if isinstance(made, tuple) else (made,)
