"""How much of what a detector says hangs on each unit of channels: gradients, without labels.

A unit's Fisher importance is the expected square of what its leaving changes in the first order
(Theis et al. 2018, "Faster gaze prediction with dense networks and Fisher pruning"; Molchanov et
al. 2019, "Importance Estimation for Neural Network Pruning"): of sum(activation x gradient) over
all places of all its channels. The place of labels is taken by what the whole network says: the
gradient is that of boxes and scores with random signs, boxes weighted by how sure it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.compress.pruning.flow import Flow
from edgecv_cli.compress.training.located import BOXES, SCORES, decoded_program, has_candidates
from edgecv_cli.compress.training.network import Network, torch_module
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import UsageError
from edgecv_cli.detector.spec import DetectorSpec

Feed = Mapping[str, NDArray[Any]]
Array = NDArray[np.float64]
_DRAWS = 4  # of signs, an image


def fisher(flow: Flow, spec: DetectorSpec, feeds: Iterable[Feed], context: Context) -> Array:
    """Return the importance of each label, float64 [labels]; 0 where no layer makes it.

    Args:
        flow: the graph's channels.
        spec: how its outputs are read.
        feeds: what the input is fed, one image at a time; all are run forth, and back four times.
        context: progress, seed; cancellation is polled per image.

    Raises:
        UsageError: the graph selects boxes itself.
        ModelError: an operator is not known to training.
        MissingDependencyError: torch is not installed.
    """
    if not has_candidates(spec):
        raise UsageError(
            "--importance taylor reads boxes and scores of candidates, and this graph selects "
            "among them itself or takes more than a picture",
            remedy="leave --importance out; `edgecv reshape --nms none` takes NMS out",
        )
    torch = torch_module()
    made = {name: labels for name, labels in flow.made_by.items() if name in flow.channels}
    program = decoded_program(flow.topology.model, spec, also=tuple(made))
    network = Network(program, trained=True)
    rng = np.random.default_rng(context.seed)
    count = 1 + max((int(labels.max(initial=0)) for labels in made.values()), default=0)
    total, images = np.zeros(count), 0
    with context.progress.task("gradients", None, "image") as task:
        for feed in feeds:
            context.cancel.check()
            said = network(feed)
            tensors = [said[name] for name in made]
            for draw in range(_DRAWS):
                loss = _signed(torch, said, rng)
                found = torch.autograd.grad(
                    loss, tensors, retain_graph=draw + 1 < _DRAWS, allow_unused=True
                )
                change = np.zeros(count)
                for (name, labels), held, back in zip(made.items(), tensors, found, strict=True):
                    if back is not None:
                        np.add.at(change, labels, _by_channel(held, back, flow.channels[name].axis))
                total += change**2
            images += 1
            task.advance()
    return total / max(1, images * _DRAWS)


def _signed(torch: Any, said: Mapping[str, Any], rng: np.random.Generator) -> Any:
    boxes, scores = said[BOXES], said[SCORES]
    sure = scores.detach().clamp(0, 1).amax(dim=-1, keepdim=True)
    parts = [
        one * torch.as_tensor(rng.choice((-1.0, 1.0), tuple(one.shape)).astype(np.float32))
        for one in (scores, boxes * sure)
    ]
    return parts[0].sum() + parts[1].sum()


def _by_channel(held: Any, back: Any, axis: int) -> Array:
    product = (held.detach() * back).movedim(axis, 0)
    summed: Array = product.reshape(product.shape[0], -1).sum(dim=1).double().numpy()
    return summed
