"""The port behind which every inference engine stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from edgecv_cli.core.errors import EngineError
from edgecv_cli.core.tensors import TensorSpec

if TYPE_CHECKING:
    from edgecv_cli.artifact.artifact import Artifact


@dataclass(frozen=True)
class EngineOptions:
    """How to open a model.

    Attributes:
        device: what stands after the first colon of ``--engine``; None is the engine's own.
        precision: what float layers run in, after the second colon; None is as the file says.
        threads: threads that the engine may use; None is one per usable core.
        spinning: whether threads burn time while they wait, which is faster when alone.
        exact: run quantize and dequantize as they are written, in float with 32-bit sums, and
            never an integer kernel: what a file means, on any machine.
        profile: keep the time of each node, which slows the model; see ``runtime/operators.py``.
        streams: inferences that are meant to be in flight at once, through requests of their own;
            they share the threads.
        model_cache: keep what is compiled in the user's cache and take it from there, where the
            engine can.
    """

    device: str | None = None
    precision: str | None = None
    threads: int | None = None
    spinning: bool = False
    exact: bool = False
    profile: bool = False
    streams: int = 1
    model_cache: bool = False


@dataclass(frozen=True)
class Execution:
    """What really runs, as observed after loading: never the requested value.

    ``precision`` says in words what the layers work in, or ``unknown`` where the engine does
    not show it. ``debug`` says that the engine was built for debugging, which is slow.
    ``from_cache``: whether the compiled model came from the model cache; None where none was asked.
    """

    engine: str
    version: str
    provider: str
    device: str
    precision: str
    debug: bool = False
    from_cache: bool | None = None


@dataclass(frozen=True)
class Availability:
    """Whether an engine can be used here, and what to type if not."""

    available: bool
    version: str | None
    devices: tuple[str, ...]
    remedy: str | None


class Request(Protocol):
    """One inference in flight; owns its buffers."""

    inputs: Mapping[str, NDArray[Any]]  # write in place
    outputs: Mapping[str, NDArray[Any]]  # valid until the next start()

    def start(self) -> None:
        """Begin inference on the current inputs; engines that can return before it is done."""
        ...

    def wait(self, timeout: float | None = None) -> None:
        """Block until the outputs are there (seconds; None: forever); what failed is raised."""
        ...

    def run(self) -> None:
        """Start and wait, by the shortest way that the engine has."""
        ...


def still_running() -> EngineError:
    """Return what a request says that is started a second time."""
    return EngineError("the request is still running", remedy="wait for it first")


class Runner(Protocol):
    """A model loaded by an engine."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    execution: Execution

    def requests(self, n: int) -> Sequence[Request]:
        """Return n requests with buffers of their own (static input shapes only)."""
        ...

    def infer(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once and return every output by name."""
        ...

    def close(self) -> None:
        """Free what the engine holds."""
        ...


class Engine(Protocol):
    """One inference engine; a leaf file each."""

    name: str
    extra: str
    formats: frozenset[str]

    def availability(self) -> Availability:
        """Say whether the engine can be used on this machine."""
        ...

    def open(self, artifact: Artifact, options: EngineOptions) -> Runner:
        """Load a model."""
        ...
