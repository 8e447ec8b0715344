"""Where OpenVINO keeps what it compiled (``CACHE_DIR``), so that a later start need not.

OpenVINO names its files after the model, the settings and its own version, and compiles again
where one does not fit. Source: docs.openvino.ai, "Model caching overview".
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from edgecv_cli.core.errors import OutputError
from edgecv_cli.core.store import cache_home

MOST_BYTES = 2**30
"""What the folder may hold; OpenVINO itself never removes anything."""


def model_cache() -> Path:
    """Return the folder, which is this user's alone; the oldest files beyond the limit are gone.

    Raises:
        OutputError: it can't be made.
    """
    folder = cache_home() / "openvino"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the model cache {folder} can't be made: {error.strerror}",
            remedy="leave --model-cache out, or set XDG_CACHE_HOME to a folder you may write to",
        ) from error
    _trim(folder)
    return folder


def _trim(folder: Path) -> None:
    with suppress(OSError):  # another process trims as well
        files = [(path.stat(), path) for path in folder.iterdir() if path.is_file()]
        total = sum(status.st_size for status, _ in files)
        for status, path in sorted(files, key=lambda entry: entry[0].st_mtime_ns):
            if total <= MOST_BYTES:
                return
            path.unlink(missing_ok=True)
            total -= status.st_size
