"""Run a detector on images and videos, and put what it finds where it is wanted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.context import Cancel, Context
from edgecv_cli.core.errors import UsageError
from edgecv_cli.core.files import Publication
from edgecv_cli.core.machine_limits import usable_cores
from edgecv_cli.inference.exports import Emit, JsonLinesSink
from edgecv_cli.inference.flow import Flow
from edgecv_cli.inference.frames import Frame, FrameResult, FrameSink
from edgecv_cli.inference.live import LiveFrames
from edgecv_cli.inference.predictor import Timings
from edgecv_cli.inference.privacy import Hider
from edgecv_cli.inference.sinks import HowKept, open_sinks
from edgecv_cli.inference.sources import FrameSource
from edgecv_cli.inference.tracking.following import Follower
from edgecv_cli.measure.hardware import machine
from edgecv_cli.media.opencv import on_calling_threads
from edgecv_cli.stages.detect_classes import choose_classes
from edgecv_cli.stages.detect_live import LiveView
from edgecv_cli.stages.detect_model import FramePredictor, Loaded, load_model, side_by_side
from edgecv_cli.stages.detect_preview import kept, open_preview
from edgecv_cli.stages.detect_result import DetectSummary, SkippedSource, Tally
from edgecv_cli.stages.detect_sources import live_rows, open_any
from edgecv_cli.stages.detect_tracking import followed, open_follower

if TYPE_CHECKING:
    from edgecv_cli.config.detect import DetectConfig


def run_detect(
    config: DetectConfig,
    context: Context,
    *,
    emit: Emit | None = None,
    load: Callable[[DetectConfig], Loaded] | None = None,
) -> DetectSummary:
    """Detect as configured; the output folder appears whole, at the end, or not at all.

    Args:
        config: what to run on what.
        context: progress, cancellation, clock.
        emit: given one JSON object a frame and the summary last, as they come.
        load: how the model is opened; None opens ``config.model``.

    Raises:
        EdgeCVError: sources, model, engine or output can't be used.
        InterruptedByUser: cancelled; nothing was saved.
    """
    source = open_any(config, context)
    live = isinstance(source, LiveFrames)
    kinds = _kinds(config, source)
    with ExitStack() as stack:
        publication = _publication(config, source, stack)
        loaded = _loaded(config, source, context) if load is None else load(config)
        stack.enter_context(closing(loaded.predictor))
        follower = open_follower(config, source, loaded.profile.threshold)
        wanted = choose_classes(config.classes, loaded.spec.classes)
        hider = _hider(config, loaded)
        sinks: list[FrameSink] = [JsonLinesSink(emit)] if emit is not None else []
        if publication is not None:
            sinks += _saving(config, kinds, publication.folder(), loaded, context)
        sinks += [] if config.serve is None else [open_preview(config.serve, context)]
        for sink in sinks:
            stack.enter_context(closing(sink))
        tally = Tally()
        began = context.clock()
        with context.progress.task("detect", source.total, "frame") as task:
            results = detect(
                loaded,
                source,
                sinks,
                _until_its_end(context) if live else context,
                classes=wanted,
                tally=tally,
                on_demand=live,
                follower=follower,
                hider=hider,
            )
            _shown(results, LiveView(task, tally, context.clock))
        more = kept(sinks) | live_rows(source)
        more |= {} if hider is None else {"hidden": hider.hidden}
        more |= {} if follower is None else followed(follower, loaded.spec.classes)
        summary = _summary(config, loaded, source, tally, context.clock() - began)
        summary = summary.model_copy(update=more)
        for sink in sinks:
            sink.finish(summary.to_json())
        if publication is not None:
            publication.commit()
    return summary


def detect(
    loaded: Loaded,
    frames: Iterable[Frame],
    sinks: Sequence[FrameSink],
    context: Context,
    *,
    classes: Collection[int] | None = None,
    tally: Tally | None = None,
    on_demand: bool = False,
    follower: Follower | None = None,
    hider: Hider | None = None,
) -> Iterator[FrameResult]:
    """Yield what is found in each frame, after every sink has taken it.

    Frames are read and detected in threads of their own, a few at a time, and given in their
    order; sinks run in the caller's thread.

    Args:
        loaded: the detector.
        frames: read once.
        sinks: given each result; finishing and closing them is the caller's part.
        context: cancellation is looked at once a frame.
        classes: class indices to keep; None keeps all.
        tally: counts frames and times.
        on_demand: whether frames are asked for only once they can be looked at: live sources.
        follower: numbers the boxes by the tracks that they continue.
        hider: makes boxes unrecognisable, before a sink or the caller sees the frame.

    Raises:
        EdgeCVError: the frames can't be read, or a sink can't write.
        InterruptedByUser: cancelled.
    """
    tally = Tally() if tally is None else tally
    least = 0.0 if follower is not None else loaded.profile.threshold
    lanes = [
        _lane(one, loaded, Wanted(classes, least, hider), context)
        for one in loaded.lanes or (loaded.predictor,)
    ]
    live = frames if isinstance(frames, LiveFrames) else None
    flow = Flow(
        frames,
        lanes,
        on_demand=on_demand,
        cancel=context.cancel,
        clock=context.clock,
        stop=None if live is None else live.stop,
    )
    tally.follow(flow.read, len(lanes))
    with on_calling_threads(), flow:
        for seen, timings in flow:
            began = context.clock()
            result = seen if hider is None else hider.linger(seen)
            result = result if follower is None else follower.follow(result)
            for sink in sinks:
                sink.write(result)
            tally.add(len(result.detections), timings, write_ns=context.clock() - began)
            tally.look(flow.rooms(), live.dropped if live else 0)
            yield result
    context.cancel.check()


@dataclass(frozen=True)
class Wanted:
    """What is given of what was found.

    Attributes:
        classes: class indices; None is all.
        least: score, 0..1; the network's own threshold is lower where doubtful boxes are hidden.
        hider: what makes boxes unrecognisable.
    """

    classes: Collection[int] | None
    least: float
    hider: Hider | None


def _lane(
    predictor: FramePredictor, loaded: Loaded, wanted: Wanted, context: Context
) -> Callable[[Frame], tuple[FrameResult, Timings]]:
    def detected(frame: Frame) -> tuple[FrameResult, Timings]:
        found, timings = predictor.predict_timed(frame.image)
        hidden = None if wanted.hider is None else wanted.hider.boxes(found)
        if wanted.hider is not None:
            began = context.clock()
            frame = wanted.hider.hide(frame, found)
            spent = timings.postprocess_ns + context.clock() - began
            timings = replace(timings, postprocess_ns=spent)
        usable = _usable(found, wanted)
        return FrameResult(frame, usable, loaded.spec.classes, hidden=hidden), timings

    return detected


def _kinds(config: DetectConfig, source: FrameSource | LiveFrames) -> frozenset[str]:
    """What to save: as asked, else JSON and what fits the sources."""
    if "video" in config.save and not source.has_videos:
        raise UsageError(
            "--save video: none of the sources is a video", remedy="use --save image instead"
        )
    if config.save:
        return frozenset(config.save)
    fitting = {"image": source.has_images, "video": source.has_videos}
    return frozenset({"json", *(kind for kind, fits in fitting.items() if fits)})


def _loaded(config: DetectConfig, source: FrameSource | LiveFrames, context: Context) -> Loaded:
    parts = source.total if config.tile is None else None  # a picture has many tiles
    loaded = load_model(config, side_by_side(config.engine, config.threads, parts))
    if loaded.warning:
        context.progress.note(f"warning: {loaded.warning}")
    return loaded


def _until_its_end(context: Context) -> Context:
    """Ctrl-C is how a live source ends: what was found until then is kept."""
    return replace(context, cancel=Cancel())


def _shown(results: Iterable[FrameResult], view: LiveView) -> None:
    for _ in results:
        view.frame()
    view.end()


def _hider(config: DetectConfig, loaded: Loaded) -> Hider | None:
    hidden = choose_classes(config.blur, loaded.spec.classes, option="--blur")
    return None if hidden is None else Hider(hidden)


def _saving(
    config: DetectConfig, kinds: Collection[str], folder: Path, loaded: Loaded, context: Context
) -> list[FrameSink]:
    how = HowKept(
        tracked=config.track,
        threshold=loaded.profile.threshold,
        hard_rate=config.hard_rate,
        sound=not config.blur,  # voices tell who it is
    )
    return open_sinks(kinds, folder, note=context.progress.note, how=how)


def _publication(
    config: DetectConfig, source: FrameSource | LiveFrames, stack: ExitStack
) -> Publication | None:
    if config.output is None:
        return None
    inputs = [config.model, *source.paths]
    return stack.enter_context(Publication(config.output, force=config.force, inputs=inputs))


def _usable(found: Detections, wanted: Wanted) -> Detections:
    """Keep what is wanted, and boxes that are numbers: a broken model may give NaN."""
    keep = np.isfinite(found.boxes).all(axis=1) & (found.scores >= wanted.least)
    if wanted.classes is not None:
        keep &= np.isin(found.class_ids, list(wanted.classes))
    return found if keep.all() else found.take(keep)


def _summary(
    config: DetectConfig,
    loaded: Loaded,
    source: FrameSource | LiveFrames,
    tally: Tally,
    nanoseconds: int,
) -> DetectSummary:
    seconds = nanoseconds / 1e9
    return DetectSummary(
        machine=machine(config.threads),
        model=str(config.model),
        sha256=loaded.sha256,
        family=loaded.spec.family,
        frames=tally.frames,
        detections=tally.detections,
        skipped=tuple(SkippedSource(**asdict(entry)) for entry in source.skipped),
        score_threshold=loaded.profile.threshold,
        nms_iou=loaded.profile.iou,
        tile=config.tile,
        seconds=seconds,
        fps=tally.frames / seconds if tally.frames and seconds > 0 else None,
        **tally.medians(),
        in_flight=tally.lanes,
        dropped=tally.dropped,
        queues=tally.queues(),
        limit=tally.limit(nanoseconds),
        engine=loaded.execution.engine,
        provider=loaded.execution.provider,
        threads=config.threads or usable_cores(),
        output=None if config.output is None else str(config.output),
    )
