"""The display of bars, with lines of details below them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.progress import Progress
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType


class LiveRows(Progress):
    """A row a task; below them the lines of each task's field ``details``, cut to the width."""

    def get_renderables(self) -> Iterable[RenderableType]:
        """Return what is drawn."""
        yield self.make_tasks_table(self.tasks)
        for task in self.tasks:
            for line in task.fields["details"]:
                yield Text(f"  {line}", style="dim", no_wrap=True, overflow="ellipsis")
