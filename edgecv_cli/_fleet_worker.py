"""The program of a fleet's worker; :mod:`edgecv_cli.pipeline.fleet.worker` says what it does.

``python -m edgecv_cli._fleet_worker``: serve whoever holds standard input and output.
"""

from __future__ import annotations

import os
import signal


def main() -> None:
    """Serve until standard input closes; then end at once, with all that was started."""
    from edgecv_cli.pipeline.fleet.blobs import fleet_home
    from edgecv_cli.pipeline.fleet.wire import Wire
    from edgecv_cli.pipeline.fleet.worker import Worker

    # Libraries print: what they print must go beside the frames, not between them.
    reading, writing = os.dup(0), os.dup(1)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.dup2(2, 1)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    Worker(Wire(reading, writing), fleet_home()).serve()
    # Not by way of the interpreter's end, which would wait for a job that does not stop.
    os._exit(0)


if __name__ == "__main__":
    main()
