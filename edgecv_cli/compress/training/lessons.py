"""What a network is taught by: how far it is from what it should say of a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import onnx

from edgecv_cli.compress.training.distance import Distance
from edgecv_cli.compress.training.mode import PLAIN, Mode
from edgecv_cli.compress.training.network import Network, torch_module
from edgecv_cli.compress.training.pictures import Feed, Pictures
from edgecv_cli.compress.training.program import program_of
from edgecv_cli.graph.io import content_digest


class Lesson(Protocol):
    """Says how far a network is from what it should say."""

    @property
    def digest(self) -> str:
        """Names what is learned, for the checkpoint."""
        ...

    def __call__(self, made: Mapping[str, Any], feeds: Sequence[Feed]) -> Any:
        """Return the mean distance over some feeds, a tensor of one number.

        Args:
            made: tensors that the network made of the feeds, by name: [feeds, *shape of one].
            feeds: what it was fed.
        """
        ...

    def judged(self, made: Mapping[str, Any], feeds: Sequence[Feed]) -> Any:
        """Return what the best weights are told by on held-out images; lower is better.

        A loss whose targets move with what the network says can't tell that.
        """
        ...


class RawLesson:
    """The raw predictions of a teacher that has the same heads.

    Args:
        teacher: normalised.
        heads: tensors that are compared.
        pictures: what is fed; the held-out ones say how much each head varies.
        mode: how the teacher is run.
        features: feature maps that are compared too; they judge as well.

    Raises:
        ModelError: an operator of the teacher is not known to training.
        MissingDependencyError: torch is not installed.
    """

    def __init__(
        self,
        teacher: onnx.ModelProto,
        heads: Sequence[str],
        pictures: Pictures,
        mode: Mode = PLAIN,
        *,
        features: Sequence[str] = (),
    ) -> None:
        self._torch = torch_module()
        self.digest = f"{content_digest(teacher)} {' '.join(features)}".strip()
        self._heads = (*heads, *features)
        program = program_of(teacher, also=self._heads)
        self._teacher = Network(program, trained=False, mode=mode)
        with self._torch.no_grad():
            made = [self._teacher(feed) for feed in pictures.held_out()]
        taught = [{name: one[name] for name in self._heads} for one in made]
        self._distance = Distance(self._torch, taught, features)

    def __call__(self, made: Mapping[str, Any], feeds: Sequence[Feed]) -> Any:
        """Return the distance of the raw predictions."""
        with self._torch.no_grad():
            wanted = self._teacher.together(feeds)
        return self._distance(made, wanted)

    def judged(self, made: Mapping[str, Any], feeds: Sequence[Feed]) -> Any:
        """Return the distance: its targets stay."""
        return self(made, feeds)
