"""Reading the project's pages: their fenced blocks, links, and what commands print beside them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_EXIT = re.compile(r"#\s*exit code (\d+)\s*$")
_NAMED = re.compile(r"^# ([\w/-]+\.(?:yaml|py|txt))\n")
_CHANGED = re.compile(r"^--- ([\w/]+\.py)\n")
_CUT = "..."


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the file that its first line names, if any."""

    language: str
    text: str

    @property
    def changes(self) -> str | None:
        """The file that a block of differences changes."""
        match = _CHANGED.match(self.text)
        return match[1] if match else None

    def changed(self, text: str) -> str:
        """Return a file's text with the block's differences made; what it shows must be there."""
        lines = self.text.splitlines()[1:]
        before, after = ([line[1:] for line in lines if line[0] != sign] for sign in "+-")
        whole = "\n".join(before)
        assert text.count(whole) == 1, whole
        return text.replace(whole, "\n".join(after))

    @property
    def file(self) -> str | None:
        """The name in a first line ``# name.yaml``: the block is that file."""
        match = _NAMED.match(self.text)
        return match[1] if match else None


@dataclass(frozen=True)
class Line:
    """A command line of a page, and the exit code that a comment behind it gives."""

    words: tuple[str, ...]
    code: int


def blocks(text: str) -> list[Block]:
    """Return a page's fenced blocks in their order."""
    return [Block(match[1], match[2]) for match in _FENCE.finditer(text)]


def command_lines(block: Block) -> list[Line]:
    r"""Return the lines of a block of commands; a line that ends in ``\`` goes on."""
    joined = block.text.replace("\\\n", " ")
    lines = []
    for text in joined.splitlines():
        words = tuple(shlex.split(text, comments=True))
        if words:
            match = _EXIT.search(text)
            lines.append(Line(words, int(match[1]) if match else 0))
    return lines


def links(text: str) -> list[str]:
    """Return the targets of a page's links, those in fenced blocks left out."""
    return _LINK.findall(_FENCE.sub("", text))


def headings(file: Path) -> set[str]:
    """Return the anchors that a page's headings have on the web."""
    text = _FENCE.sub("", file.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def masked(line: str) -> str:
    """Return a line of output without what differs from run to run: numbers and widths."""
    bare = re.sub(r"\x1b\[[0-9;]*m", "", line)
    numbers = re.sub(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", "0", bare)
    return re.sub(r"[\s─-╿]+", " ", numbers).strip()


def shown_lines(block: Block) -> list[str]:
    """Return the pieces of an output block, masked; ``...`` stands for what was left out."""
    pieces = [part for line in block.text.splitlines() for part in line.split(_CUT)]
    return [piece for piece in map(masked, pieces) if piece]
