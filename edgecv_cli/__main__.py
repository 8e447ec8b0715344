"""``python -m edgecv_cli`` is the ``edgecv`` command."""

from __future__ import annotations

from edgecv_cli.cli.main import main

if __name__ == "__main__":
    main()
