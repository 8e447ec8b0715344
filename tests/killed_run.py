"""``python killed_run.py PIPELINE CACHE``: run a pipeline of fake stages, as fast as that goes.

With EDGECV_TEST_KILL=N the process kills itself with SIGKILL inside its Nth write to the store,
between the entry's bytes on the disk and their name.
"""

import os
import signal
import sys
from pathlib import Path

from fake_stages import FAKES

from edgecv_cli.config.run import RunConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.store import FolderStore
from edgecv_cli.pipeline.run import run_pipeline


def die_in_write(number: int) -> None:
    """Arrange for the Nth write to end the process without a chance to clean up."""
    write = FolderStore._write
    left = [number]

    def killing(store: FolderStore, path: Path, content: bytes) -> None:
        left[0] -= 1
        if left[0] == 0:
            path.with_suffix(".tmp").write_bytes(content)
            os.kill(os.getpid(), signal.SIGKILL)
        write(store, path, content)

    FolderStore._write = killing


if __name__ == "__main__":
    if "EDGECV_TEST_KILL" in os.environ:
        die_in_write(int(os.environ["EDGECV_TEST_KILL"]))
    config = RunConfig(pipeline=Path(sys.argv[1]), cache=Path(sys.argv[2]))
    for step in run_pipeline(config, Context(), stages=FAKES).steps:
        print(step.id, step.status)
