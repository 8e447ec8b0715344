"""The files that a command writes of its result, beside what it prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from edgecv_cli.core.errors import UsageError
from edgecv_cli.report import markdown
from edgecv_cli.report.blocks import Document
from edgecv_cli.stages.compose.publishing import Draft, reporting

Drafts = Mapping[str, Draft]


@contextmanager
def result_files(
    places: Mapping[str, Path | None], *, force: bool, inputs: Sequence[Path]
) -> Iterator[Drafts]:
    """Take the places of all files before the work; what is written by its end appears there.

    They appear also where a gate refuses.

    Args:
        places: what each is for, named as the option is, and where it goes; None: nowhere.
        force: replace what stands there.
        inputs: files and folders that they must not replace.

    Raises:
        UsageError: two of them have one name.
        OutputExistsError: something stands there, and ``force`` was not given.
        OutputError: nothing can be written there.
    """
    named: dict[Path, str] = {}
    for name, path in places.items():
        if path is not None and (other := named.setdefault(path.absolute(), name)) != name:
            raise UsageError(
                f"--{other} and --{name} both name {path}", remedy="name two different files"
            )
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(reporting(path, force=force, inputs=inputs))
            for name, path in places.items()
        }


def write_document(drafts: Drafts, document: Callable[[], Document]) -> None:
    """Write a document as HTML for ``report`` and as Markdown for ``md``, where they are wanted.

    Args:
        drafts: what :func:`result_files` gave, with these two names.
        document: makes it, if anybody wants it.
    """
    if drafts["report"].wanted or drafts["md"].wanted:
        made = document()
        drafts["report"].write(made)
        drafts["md"].write_text(markdown.render(made))
