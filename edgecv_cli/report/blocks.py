"""What a report is made of; plain data, so that other renderings can follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Tone = Literal["plain", "good", "bad"]


@dataclass(frozen=True)
class Heading:
    """A heading inside the document; level 2 to 4 (1 is the document's title)."""

    text: str
    level: Literal[2, 3, 4] = 2


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
class Callout:
    """What must not be overlooked; ``word`` says its tone to who sees no colour.

    Attributes:
        word: what kind of message it is.
        text: the message.
        tone: its colour.
        points: more of it, one line each.
    """

    word: str
    text: str
    tone: Tone = "plain"
    points: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """Rows of text; the first column names the row.

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
class Facts:
    """Names and values, such as a machine's."""

    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Link:
    """One step of a chain."""

    title: str
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Chain:
    """Steps in their order, each with its facts."""

    links: tuple[Link, ...]


@dataclass(frozen=True)
class Bar:
    """One bar: its length follows ``value``, which is 0 or more; ``shown`` is its text."""

    label: str
    value: float
    shown: str
    tone: Tone = "plain"


@dataclass(frozen=True)
class Bars:
    """Bars on one scale that begins at 0; those after the first ``open`` are folded away."""

    title: str
    bars: tuple[Bar, ...]
    open: int | None = None

    def __post_init__(self) -> None:
        if any(not bar.value >= 0 for bar in self.bars):
            raise ValueError("a bar can't be shorter than nothing")


@dataclass(frozen=True)
class Change:
    """A value before and after, both 0 or more; ``shown`` and ``detail`` are its text."""

    label: str
    before: float
    after: float
    shown: str
    detail: str = ""
    tone: Tone = "plain"


@dataclass(frozen=True)
class Changes:
    """Pairs of bars on one scale that begins at 0.

    Attributes:
        title: what is compared.
        sides: names of before and after.
        changes: in the order that they are shown.
        open: how many are shown; the rest is folded away. None shows all.
    """

    title: str
    sides: tuple[str, str]
    changes: tuple[Change, ...]
    open: int | None = None

    def __post_init__(self) -> None:
        values = [value for change in self.changes for value in (change.before, change.after)]
        if any(not value >= 0 for value in values):
            raise ValueError("a bar can't be shorter than nothing")


@dataclass(frozen=True)
class Series:
    """A histogram with marked values.

    Attributes:
        label: whose it is.
        start, width: where the first bin begins, and how wide each bin is.
        counts: samples in each bin.
        marks: name and value of what is marked, the smaller first; at most two.
        detail: how many samples there are, and what lies outside of the bins.
    """

    label: str
    start: float
    width: float
    counts: tuple[int, ...]
    marks: tuple[tuple[str, float], ...] = ()
    detail: str = ""

    def __post_init__(self) -> None:
        if not self.width > 0 or not any(self.counts) or min(self.counts) < 0:
            raise ValueError("a histogram needs samples in bins that have a width")


@dataclass(frozen=True)
class Histograms:
    """Histograms below each other on one axis, each as high as its own fullest bin allows."""

    title: str
    unit: str
    series: tuple[Series, ...]


@dataclass(frozen=True)
class Line:
    """A line through points; ``detail`` is what a reader of its name should know too."""

    label: str
    points: tuple[tuple[float, float], ...]
    detail: str = ""


@dataclass(frozen=True)
class Curves:
    """Lines on common axes.

    Attributes:
        title: what is shown.
        x, y: names of the axes, with their units.
        lines: at most eight can be told apart; a line without points is left out.
        y_range: the ends of the y axis; None: what the lines need.
    """

    title: str
    x: str
    y: str
    lines: tuple[Line, ...]
    y_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class Dot:
    """A point with, where they are known, the ends of its intervals."""

    label: str
    x: float
    y: float
    x_ends: tuple[float, float] | None = None
    y_ends: tuple[float, float] | None = None
    detail: str = ""


@dataclass(frozen=True)
class Scatter:
    """Points of which less in x and more in y is better; those that no other beats are joined."""

    title: str
    x: str
    y: str
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class Matrix:
    """Counts by row and column, darker where there are more.

    Attributes:
        title: what is counted.
        corner: what rows and columns are, such as "labelled / found".
        rows, columns: their names.
        cells: counts, one tuple a row; 0 is left empty.
        right: places (row, column) that are as they should be.
    """

    title: str
    corner: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[int, ...], ...]
    right: frozenset[tuple[int, int]] = frozenset()

    def __post_init__(self) -> None:
        if len(self.cells) != len(self.rows) or any(
            len(row) != len(self.columns) for row in self.cells
        ):
            raise ValueError(f"{len(self.rows)} rows of {len(self.columns)} cells are needed")


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


@dataclass(frozen=True)
class Pairs:
    """Pairs of pictures of the same thing, left and right, or above each other on a phone."""

    pairs: tuple[tuple[Picture, Picture], ...]


Block: TypeAlias = (
    Heading
    | Paragraph
    | Callout
    | Figures
    | Table
    | Facts
    | Chain
    | Bars
    | Changes
    | Histograms
    | Curves
    | Scatter
    | Matrix
    | Images
    | Pairs
)


@dataclass(frozen=True)
class Document:
    """A whole report."""

    title: str
    subtitle: str
    blocks: tuple[Block, ...]


def deeper(blocks: Sequence[Block]) -> list[Block]:
    """Return blocks with every heading one level lower, to stand under a heading of their own."""
    return [
        Heading(block.text, 3 if block.level == 2 else 4) if isinstance(block, Heading) else block
        for block in blocks
    ]
