"""The ``edgecv`` command, and ``python -m edgecv_cli``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; Ctrl-C counts from the first import on."""
    try:
        from edgecv_cli.cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n  fix: run the command again\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
