"""A file system as the kernel shows it, written by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


class Kernel:
    """Files below a root that stands for ``/``.

    ::

        kernel = Kernel(tmp_path)
        kernel.show({"sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand"})
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def show(self, files: Mapping[str, object]) -> None:
        """Write files, or write them anew."""
        for name, content in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{content}\n")

    def cores(self, count: int, **files: object) -> None:
        """Show the same ``cpufreq`` files for that many cores."""
        self.show(
            {
                f"sys/devices/system/cpu/cpu{core}/cpufreq/{name}": content
                for core in range(count)
                for name, content in files.items()
            }
        )

    def stat(self, *cores: Mapping[str, int]) -> None:
        """Show the ticks of each core, by the names of proc(5)."""
        names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
        rows = [[core.get(name, 0) for name in names] + [0, 0] for core in cores]
        total = [sum(column) for column in zip(*rows, strict=True)]
        lines = [f"cpu  {' '.join(map(str, total))}"]
        lines += [f"cpu{place} {' '.join(map(str, row))}" for place, row in enumerate(rows)]
        self.show({"proc/stat": "\n".join([*lines, "intr 12 0 0", "btime 1"])})

    def process(
        self,
        pid: int,
        *,
        parent: int = 1,
        name: str = "python",
        ticks: int = 0,
        ended_children: int = 0,
        start: int = 100,
    ) -> None:
        """Show one process."""
        between = "0 0 0 -1 4194304 0 0 0 0"
        self.show(
            {
                f"proc/{pid}/stat": f"{pid} ({name}) S {parent} {between} {ticks} 0 "
                f"{ended_children} 0 20 0 1 0 {start} 0 0"
            }
        )
