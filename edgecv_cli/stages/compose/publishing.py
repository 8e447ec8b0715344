"""Writing the report that ``--report`` asks for, and other texts on a result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgecv_cli.core.errors import GateNotMetError
from edgecv_cli.core.files import Publication
from edgecv_cli.report.blocks import Document
from edgecv_cli.report.html import render


class Draft:
    """A report whose place is taken; without a place, ``wanted`` is false."""

    def __init__(self, main: Path | None) -> None:
        self._main = main
        self.written = False

    @property
    def wanted(self) -> bool:
        """Whether anybody asked for the report."""
        return self._main is not None

    def write(self, document: Document) -> None:
        """Take the document; it appears in its place when the block is left."""
        if self._main is not None:
            self.write_text(render(document))

    def write_text(self, text: str) -> None:
        """Take a text as it stands."""
        if self._main is not None:
            self._main.write_text(text, encoding="utf-8")
            self.written = True


@contextmanager
def reporting(path: Path | None, *, force: bool, inputs: Sequence[Path]) -> Iterator[Draft]:
    """Take the report's place before the work, and put it there after it.

    A refusal by a gate leaves its report as well; any other failure leaves none.

    Args:
        path: where it goes; None: nowhere.
        force: replace what stands there.
        inputs: files and folders that it must not replace.

    Raises:
        OutputExistsError: something stands there, and ``force`` was not given.
        OutputError: nothing can be written there.
    """
    if path is None:
        yield Draft(None)
        return
    with Publication(path, force=force, inputs=inputs) as publication:
        draft = Draft(publication.main)
        try:
            yield draft
        except GateNotMetError:
            if draft.written:
                publication.commit()
            raise
        if draft.written:
            publication.commit()
