"""Train the built-in detector from scratch on drawn scenes; resumes from its checkpoint."""

from __future__ import annotations

import argparse
import copy
import math
import time
from pathlib import Path

import numpy as np
import torch
from dataset import TRAINING_SEED, Scenes, load_scenes
from loss import detection_loss
from network import Detector
from parts import CLASSES
from scenes import SIZE
from torch import Tensor

BATCH = 32
PEAK_RATE, LAST_RATE, WARM_UP = 2e-3, 2e-5, 100
DECAY = 0.05
AVERAGE = 0.998
"""Decay of the averaged weights, which are the ones exported."""
SAVE_EVERY = 50


def rate(step: int, steps: int) -> float:
    """Return the learning rate: linear warm-up, then half a cosine."""
    if step < WARM_UP:
        return PEAK_RATE * (step + 1) / WARM_UP
    share = (step - WARM_UP) / max(1, steps - WARM_UP)
    return LAST_RATE + (PEAK_RATE - LAST_RATE) * (1 + math.cos(math.pi * share)) / 2


def turn(image: Tensor, boxes: Tensor, code: int) -> tuple[Tensor, Tensor]:
    """Apply one of the eight flips and transposes of a square image [3, s, s] and its boxes."""
    left, top, right, bottom = boxes.unbind(-1)
    if code & 1:
        image, left, right = image.flip(2), SIZE - right, SIZE - left
    if code & 2:
        image, top, bottom = image.flip(1), SIZE - bottom, SIZE - top
    if code & 4:
        image, left, top, right, bottom = image.mT, top, left, bottom, right
    return image, torch.stack([left, top, right, bottom], -1)


def batch(scenes: Scenes, rows: Tensor, dice: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Return images in 0..1 [b, 3, s, s], boxes [b, n, 4] and labels [b, n], augmented."""
    index = np.sort(rows.numpy())
    codes = torch.randint(8, (len(index),), generator=dice).tolist()
    pairs = [
        turn(torch.from_numpy(scenes.images[i].copy()), torch.from_numpy(scenes.boxes[i].copy()), c)
        for i, c in zip(index, codes, strict=True)
    ]
    images = torch.stack([image for image, _ in pairs]).float() / 255
    shape = (len(index), 3, 1, 1)
    gain = 1 + 0.15 * torch.randn((len(index), 1, 1, 1), generator=dice)
    tint = 1 + 0.06 * torch.randn(shape, generator=dice)
    shift = 0.05 * torch.randn((len(index), 1, 1, 1), generator=dice)
    images = (images * gain * tint + shift).clamp(0, 1)
    boxes = torch.stack([box for _, box in pairs])
    return images, boxes, torch.from_numpy(scenes.labels[index])


def optimizer_for(model: Detector) -> torch.optim.AdamW:
    """Return AdamW that decays convolution weights only, not biases or BatchNorm."""
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": DECAY},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=PEAK_RATE)


@torch.no_grad()
def follow(average: Detector, model: Detector, step: int) -> None:
    """Move the averaged weights towards the model's, faster at the start."""
    keep = min(AVERAGE, (step + 1) / (step + 20))
    for mean, now in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(now, 1 - keep)
        else:
            mean.copy_(now)


class Trainer:
    """The model, its average and its optimizer, which are saved and restored together."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.seed = seed
        self.model = Detector(len(CLASSES), SIZE)
        # channels last is about 15 % faster on CPUs; mypy's stubs lack this overload
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.model).eval()
        self.optimizer = optimizer_for(self.model)
        self.step = 0
        self.minutes = 0.0

    def save(self, path: Path) -> None:
        """Write a checkpoint whole or not at all."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "minutes": self.minutes,
        }
        partial = path.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(path)

    def restore(self, path: Path) -> None:
        """Continue from a checkpoint."""
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.minutes = state["step"], state["minutes"]

    def iterate(self, scenes: Scenes, steps: int) -> tuple[float, float]:
        """Run one iteration of `steps`; returns the class and the box loss."""
        # one generator per step: a resumed run sees what an unbroken one would have seen
        dice = torch.Generator().manual_seed(self.seed * 1_000_003 + self.step)
        rows = torch.randint(len(scenes.images), (BATCH,), generator=dice)
        images, boxes, labels = batch(scenes, rows, dice)
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.step, steps)
        logits, reach = self.model(images.contiguous(memory_format=torch.channels_last))
        predicted = self.model.corners(reach).mT
        class_loss, box_loss = detection_loss(
            logits.mT, predicted, self.model.centres.mT, boxes, labels
        )
        self.optimizer.zero_grad()
        torch.autograd.backward(class_loss + box_loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 10.0)
        self.optimizer.step()
        follow(self.average, self.model, self.step)
        self.step += 1
        return class_loss.item(), box_loss.item()


def train(scenes: Scenes, steps: int, seed: int, checkpoint: Path) -> None:
    """Run up to `steps` iterations, continuing from `checkpoint` where there is one."""
    trainer = Trainer(seed)
    if checkpoint.exists():
        trainer.restore(checkpoint)
    began = time.monotonic() - 60 * trainer.minutes
    while trainer.step < steps:
        class_loss, box_loss = trainer.iterate(scenes, steps)
        if trainer.step % SAVE_EVERY == 0 or trainer.step == steps:
            trainer.minutes = (time.monotonic() - began) / 60
            losses = f"class {class_loss:.3f} box {box_loss:.3f}"
            print(f"step {trainer.step}/{steps} {losses} minutes {trainer.minutes:.1f}", flush=True)
            trainer.save(checkpoint)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder of cache and checkpoint")
    parser.add_argument("--scenes", type=int, default=10_000, help="number of training scenes")
    parser.add_argument("--steps", type=int, default=2000, help=f"iterations of {BATCH} scenes")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and augmentation")
    parser.add_argument("--threads", type=int, default=1, help="torch threads")
    parser.add_argument("--workers", type=int, default=2, help="processes that draw scenes")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    scenes = load_scenes(options.work, TRAINING_SEED, options.scenes, options.workers)
    train(scenes, options.steps, options.seed, options.work / "checkpoint.pt")


if __name__ == "__main__":
    main()
