"""The detector: plain residual 3x3 backbone, small two-way neck, decoupled anchor-free head.

ReLU and dense 3x3 convolutions throughout: a ReLU folds into the int8 convolution before it, and
dense kernels are what int8 dot-product instructions gain from. Channel counts are multiples of 16.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDES = (8, 16, 32)
WIDTHS = (16, 32, 64, 96, 128)
NECK = 48


class ConvNorm(nn.Sequential):
    """Convolution, BatchNorm and, unless `active` is false, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, *, active: bool = True
    ) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs, momentum=0.03),
        ]
        super().__init__(*layers, *([nn.ReLU(inplace=True)] if active else []))


class Residual(nn.Module):
    """Two 3x3 convolutions around a narrower middle, added to the input."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.reduce = ConvNorm(channels, hidden, 3)
        self.restore = ConvNorm(hidden, channels, 3, active=False)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape [b, channels, h, w]."""
        return functional.relu(x + self.restore(self.reduce(x)))


class Backbone(nn.Module):
    """Five halvings; returns the feature maps at strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        w1, w2, w3, w4, w5 = WIDTHS
        self.stem = nn.Sequential(ConvNorm(3, w1, 3, 2), ConvNorm(w1, w2, 3, 2), Residual(w2, 16))
        self.stage3 = nn.Sequential(ConvNorm(w2, w3, 3, 2), Residual(w3, 48), Residual(w3, 48))
        self.stage4 = nn.Sequential(ConvNorm(w3, w4, 3, 2), Residual(w4, 48), Residual(w4, 48))
        self.stage5 = nn.Sequential(ConvNorm(w4, w5, 3, 2), Residual(w5, 64))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Take images [b, 3, h, w]; h and w are multiples of 32."""
        p3 = self.stage3(self.stem(x))
        p4 = self.stage4(p3)
        return p3, p4, self.stage5(p4)


class Neck(nn.Module):
    """Top-down then bottom-up mixing of three levels, all NECK channels wide."""

    def __init__(self) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(ConvNorm(width, NECK, 1) for width in WIDTHS[2:])
        self.down = nn.ModuleList(ConvNorm(NECK, NECK, 3) for _ in range(2))
        self.up = nn.ModuleList(ConvNorm(NECK, NECK, 3, 2) for _ in range(2))

    def forward(self, levels: tuple[Tensor, Tensor, Tensor]) -> list[Tensor]:
        """Return three maps [b, NECK, h / stride, w / stride]."""
        p3, p4, p5 = (conv(level) for conv, level in zip(self.lateral, levels, strict=True))
        p4 = self.down[0](p4 + functional.interpolate(p5, scale_factor=2.0))
        p3 = self.down[1](p3 + functional.interpolate(p4, scale_factor=2.0))
        p4 = p4 + self.up[0](p3)
        return [p3, p4, p5 + self.up[1](p4)]


class Head(nn.Module):
    """One level's two branches: class logits and border distances."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.scores = nn.Sequential(ConvNorm(NECK, NECK, 3), nn.Conv2d(NECK, classes, 1))
        self.borders = nn.Sequential(ConvNorm(NECK, NECK, 3), nn.Conv2d(NECK, 4, 1))
        last = self.scores[-1]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        # start at a score of 0.01: nearly every cell is background
        nn.init.constant_(last.bias, -math.log(99))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [b, classes, h * w] and distances before softplus [b, 4, h * w]."""
        return self.scores(x).flatten(2), self.borders(x).flatten(2)


class Detector(nn.Module):
    """The whole network for square images of `size` pixels.

    `forward` and `corners` are for training, `Decoded` for everything else.
    """

    centres: Tensor
    """[2, cells], x and y in pixels."""
    strides: Tensor
    """[cells], pixels."""

    def __init__(self, classes: int, size: int) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.neck = Neck()
        self.heads = nn.ModuleList(Head(classes) for _ in STRIDES)
        centres, strides = cells(size)
        self.register_buffer("centres", centres, persistent=False)
        self.register_buffer("strides", strides, persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Take RGB images in 0..1, [b, 3, size, size].

        Returns class logits [b, classes, cells] and the distances from each cell's centre to the
        left, top, right and bottom border [b, 4, cells], in pixels.
        """
        levels = self.neck(self.backbone(images))
        parts = [head(level) for head, level in zip(self.heads, levels, strict=True)]
        logits = torch.cat([part[0] for part in parts], 2)
        return logits, functional.softplus(torch.cat([part[1] for part in parts], 2)) * self.strides

    def corners(self, reach: Tensor) -> Tensor:
        """Turn distances [b, 4, cells] into ltrb boxes of the same shape, in pixels."""
        return torch.cat([self.centres - reach[:, :2], self.centres + reach[:, 2:]], 1)


def cells(size: int) -> tuple[Tensor, Tensor]:
    """Return the centres [2, cells] (x, y) and strides [cells] of all cells, in pixels."""
    centres, strides = [], []
    for stride in STRIDES:
        middles = (torch.arange(size // stride) + 0.5) * stride
        grid = torch.stack(torch.meshgrid(middles, middles, indexing="xy")).flatten(1)
        centres.append(grid)
        strides.append(torch.full((grid.shape[1],), float(stride)))
    return torch.cat(centres, 1), torch.cat(strides)


class Decoded(nn.Module):
    """The exported form: one tensor of boxes and scores, in the YOLOv8 layout."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> Tensor:
        """Return [b, 4 + classes, cells]: cx, cy, w, h in pixels, then class scores."""
        logits, reach = self.detector(images)
        before, after = reach[:, :2], reach[:, 2:]
        middle = self.detector.centres + (after - before) / 2
        return torch.cat([middle, before + after, logits.sigmoid()], 1)
