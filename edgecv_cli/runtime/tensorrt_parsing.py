"""What TensorRT says against a model; the same calls in TensorRT-RTX and in classic TensorRT."""

from __future__ import annotations

from typing import Any

_MOST_REFUSALS = 64
_SAID = 300  # characters of a refusal


def first_error(trt: Any) -> Any:
    """Return a logger that keeps the first error (``said``): it is the cause, others follow."""

    class FirstError(trt.ILogger):  # type: ignore[misc] # known when imported
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.said = ""

        def log(self, severity: Any, text: str) -> None:
            """Take what the library says."""
            if severity <= trt.ILogger.ERROR and not self.said:
                self.said = text

    return FirstError()


def refusals(parser: Any) -> list[dict[str, str]]:
    """Return what a parser refused: ``node`` and ``problem`` each."""
    count = min(parser.num_errors, _MOST_REFUSALS)
    return [_refusal(parser.get_error(index)) for index in range(count)]


def unbuilt(logger: Any) -> list[dict[str, str]]:
    """Return why a builder gave no engine, as :func:`refusals` does."""
    return [{"node": "", "problem": _short(logger.said or "no reason")}]


def _refusal(error: Any) -> dict[str, str]:
    # Classic TensorRT names the node from 10.1 on.
    names = (getattr(error, name, None) for name in ("node_name", "node_operator"))
    name = next((found for get in names if get is not None and (found := get())), "")
    return {"node": str(name), "problem": _short(error.desc())}


def _short(text: str) -> str:
    """Return what matters of a refusal: the assertion, without where in the library it stands."""
    lines = [line for line in text.splitlines() if line and not line.startswith("Invalid Node")]
    line = (lines or [text])[0].removeprefix("Assertion failed: ")
    return line.partition(" In checkType at ")[0][:_SAID]
