"""What a report is made of; plain data, so that other renderings can follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Tone = Literal["plain", "good", "bad"]


@dataclass(frozen=True)
class Heading:
    """A heading inside the document; level 2 or 3 (1 is the document's title)."""

    text: str
    level: Literal[2, 3] = 2


@dataclass(frozen=True)
class Paragraph:
    """Running text; ``muted`` for how a number was made and other small print."""

    text: str
    muted: bool = False


@dataclass(frozen=True)
class Figure:
    """One number that stands out.

    Attributes:
        value: as shown, with its unit.
        label: what it is.
        detail: how it was made, or what it compares to.
    """

    value: str
    label: str
    detail: str = ""
    tone: Tone = "plain"


@dataclass(frozen=True)
class Figures:
    """Numbers side by side."""

    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Table:
    """Rows of text.

    Attributes:
        header: column titles.
        rows: cells as shown; a cell of a value that was not measured is empty.
        numeric: columns that are aligned right, by index.
        strong: rows that stand out, by index.
        caption: what the table shows, or None.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()
    strong: frozenset[int] = frozenset()
    caption: str | None = None

    def __post_init__(self) -> None:
        if any(len(row) != len(self.header) for row in self.rows):
            raise ValueError(f"every row needs {len(self.header)} cells")


@dataclass(frozen=True)
class Bar:
    """One bar: its length follows ``value``, which is 0 or more; ``shown`` is its text."""

    label: str
    value: float
    shown: str
    tone: Tone = "plain"


@dataclass(frozen=True)
class Bars:
    """Bars on one scale that begins at 0."""

    title: str
    bars: tuple[Bar, ...]

    def __post_init__(self) -> None:
        if any(not bar.value >= 0 for bar in self.bars):
            raise ValueError("a bar can't be shorter than nothing")


@dataclass(frozen=True)
class Picture:
    """An encoded picture; ``alt`` says what is on it."""

    data: bytes
    media_type: Literal["image/jpeg", "image/png"]
    caption: str
    alt: str


@dataclass(frozen=True)
class Images:
    """Pictures side by side, below each other where the page is narrow."""

    pictures: tuple[Picture, ...]


Block: TypeAlias = Heading | Paragraph | Figures | Table | Bars | Images


@dataclass(frozen=True)
class Document:
    """A whole report."""

    title: str
    subtitle: str
    blocks: tuple[Block, ...]
