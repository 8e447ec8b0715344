"""A graph that gradients flow through: instructions run one by one in torch.

Nothing is exported from here. Trained weights are written back into the graph that they came from
(:mod:`edgecv_cli.compress.training.write_back`), so that the file keeps its nodes and names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.compress.training.mode import PLAIN, Mode
from edgecv_cli.compress.training.ops_quantize import QUANTIZING
from edgecv_cli.compress.training.program import Instruction, Program
from edgecv_cli.compress.training.registry import OPS
from edgecv_cli.core.errors import EngineError, ModelError
from edgecv_cli.core.require import require
from edgecv_cli.graph.tail import WEIGHTED

Feed = Mapping[str, NDArray[Any]]

_RUN = {**OPS, **QUANTIZING}
_KERNEL_RANK = 4
_WHOLE = frozenset({"BatchNormalization", "Softmax"})


def torch_module() -> ModuleType:
    """Import torch.

    Raises:
        MissingDependencyError: the training extra is not installed.
    """
    return require("torch", pip="'edgecv[train]'", why="fine-tuning")


def require_device(device: str) -> None:
    """Refuse a device that torch can't compute on.

    Raises:
        MissingDependencyError: the training extra is not installed.
        EngineError: torch sees no such device.
    """
    torch = torch_module()
    if device == "cuda" and not torch.cuda.is_available():
        raise EngineError(
            "--device cuda: torch finds no GPU",
            remedy="install a CUDA build of torch and the driver, or train with --device cpu",
        )
    if device == "cuda":
        # float32 is float32: by default convolutions there round to 10 bits of mantissa
        torch.backends.cudnn.allow_tf32 = False


def ran_out(error: BaseException) -> bool:
    """Whether an error of torch, which has no class for it on every device, means no memory."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in said or "allocate memory" in said


class Network:
    """An ONNX graph in torch.

    Args:
        program: the graph.
        trained: whether its weights take gradients.
        mode: where, and in which types, it is run.

    Attributes:
        weights: the tensors that can be trained, by the name of their initializer.
    """

    def __init__(self, program: Program, *, trained: bool, mode: Mode = PLAIN) -> None:
        self._torch = torch_module()
        self._program, self._half, self._device = program, mode.half, mode.device
        self._at_once = True
        self.weights: dict[str, Any] = {
            name: self._stored(value).requires_grad_(trained)
            for name, value in program.weights.items()
        }
        self._constants = {name: self._stored(value) for name, value in program.constants.items()}

    def __call__(self, feeds: Feed) -> dict[str, Any]:
        """Return the tensors of ``program.kept`` for one feed, by name.

        Raises:
            ModelError: a node can't be run; it is named.
            MemoryError: there is not enough memory.
        """
        return self._run_all({name: self._fed([feeds], name)[0] for name in self._program.inputs})

    def together(self, feeds: Sequence[Feed]) -> dict[str, Any]:
        """Return the tensors of ``program.kept`` for some feeds, by name: [feeds, *shape of one].

        The graph is for one image; its operators are run on all at once (``torch.vmap``), so that
        a convolution has more to do, and shapes that the graph states stay those of one. What
        can't be run so is run one by one, to the same numbers.

        Raises:
            ModelError: a node can't be run; it is named.
            MemoryError: there is not enough memory.
        """
        if len(feeds) > 1 and self._at_once:
            try:
                return self._vectorised(feeds)
            except (ModelError, RuntimeError) as error:
                if ran_out(error):
                    raise MemoryError(str(error)) from error
                self._at_once = False
        made = [self(feed) for feed in feeds]
        return {name: self._torch.stack([one[name] for one in made]) for name in made[0]}

    def _vectorised(self, feeds: Sequence[Feed]) -> dict[str, Any]:
        stacked = {name: self._fed(feeds, name) for name in self._program.inputs}
        kept = self._program.kept

        def run(given: dict[str, Any]) -> tuple[Any, ...]:
            made = self._run_all(given)
            return tuple(made[name] for name in kept)

        return dict(zip(kept, self._torch.vmap(run)(stacked), strict=True))

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return copies of the weights, as they are now."""
        return {
            name: np.ascontiguousarray(one.detach().cpu().numpy()).copy()
            for name, one in self.weights.items()
        }

    def _fed(self, feeds: Sequence[Feed], name: str) -> Any:
        stacked = np.stack([feed[name] for feed in feeds])
        return self._torch.as_tensor(stacked, device=self._device)

    def _stored(self, value: NDArray[Any]) -> Any:
        tensor = self._torch.as_tensor(np.array(value))
        if tensor.dim() == _KERNEL_RANK:
            # convolutions follow the layout of their weights, and this one is the fastest
            tensor = tensor.to(memory_format=self._torch.channels_last)
        # Integers are sizes and indices, which are read on the host.
        moved = tensor.is_floating_point() or tensor.dtype == self._torch.bool
        return tensor.to(self._device) if moved else tensor

    def _run_all(self, given: dict[str, Any]) -> dict[str, Any]:
        values = dict(given)
        for step in self._program.instructions:
            made = self._run(step, values)
            values.update(zip(step.outputs, made, strict=False))
            for name in step.done_with:
                values.pop(name, None)
        return {name: self._value(name, values) for name in self._program.kept}

    def _value(self, name: str, values: Mapping[str, Any]) -> Any:
        for held in (values, self.weights, self._constants):
            if name in held:
                return held[name]
        return None

    def _run(self, step: Instruction, values: Mapping[str, Any]) -> tuple[Any, ...]:
        operands = [self._value(name, values) if name else None for name in step.inputs]
        if self._half:
            operands = self._cast(step, operands)
        try:
            made = _RUN[step.op](self._torch, operands, step.attributes)
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError) as error:
            if ran_out(error):
                raise MemoryError(str(error)) from error
            raise ModelError(
                f"training can't run the {step.op} of node '{step.name}': {_first_line(error)}",
                remedy="do without training: `edgecv prune --recover reconstruct`",
            ) from error
        return made if isinstance(made, tuple) else (made,)

    def _cast(self, step: Instruction, operands: list[Any]) -> list[Any]:
        """Return floats in the type that an operator computes in.

        By hand: torch's autocast does not reach what ``vmap`` runs.
        """
        half, whole = self._torch.bfloat16, self._torch.float32
        if step.outputs[0] in self._program.exact or step.op in _WHOLE:
            old, new = half, whole
        elif step.op in WEIGHTED:
            old, new = whole, half
        else:
            return operands
        return [one.to(new) if one is not None and one.dtype == old else one for one in operands]


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
