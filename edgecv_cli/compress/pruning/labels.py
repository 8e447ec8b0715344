"""Labels of channels, joined where channels stand or fall together (a union-find)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]


class LabelSets:
    """Sets of labels. A set is frozen where one of its channels has to stay."""

    def __init__(self) -> None:
        self._parents: list[int] = []
        self._frozen: set[int] = set()

    def new(self, count: int, *, frozen: bool = False) -> Labels:
        """Return ``count`` labels that nothing is joined with yet, int64 [count]."""
        first = len(self._parents)
        self._parents.extend(range(first, first + count))
        made = np.arange(first, first + count, dtype=np.int64)
        if frozen:
            self.freeze(made)
        return made

    def root(self, label: int) -> int:
        """Return the label that stands for the whole set."""
        root = label
        while self._parents[root] != root:
            root = self._parents[root]
        while self._parents[label] != root:
            self._parents[label], label = root, self._parents[label]
        return root

    def roots(self, labels: Labels) -> Labels:
        """Return the label that stands for the set of each label."""
        return np.fromiter((self.root(int(one)) for one in labels), np.int64, len(labels))

    def join(self, a: Labels, b: Labels) -> None:
        """Join the sets of two arrays of labels, position by position."""
        for one, other in zip(a, b, strict=True):
            first, second = sorted((self.root(int(one)), self.root(int(other))))
            if first == second:
                continue
            self._parents[second] = first
            if second in self._frozen:
                self._frozen.add(first)

    def freeze(self, labels: Labels) -> None:
        """Have the channels of these labels, and all that are joined with them, stay."""
        self._frozen.update(self.root(int(one)) for one in labels)

    def is_frozen(self, root: int) -> bool:
        """Whether a set has to stay."""
        return root in self._frozen
