"""Frames over pipes: what goes in comes out, and anything else ends the talk."""

from __future__ import annotations

import os
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecv_cli.pipeline.fleet import wire as module
from edgecv_cli.pipeline.fleet.wire import MAGIC, Wire, WireClosedError, WireStalledError


@pytest.fixture
def pair():
    """Two ends; what one writes the other reads."""
    ends = [os.pipe(), os.pipe()]
    yield Wire(ends[0][0], ends[1][1]), Wire(ends[1][0], ends[0][1])
    for end in ends:
        for descriptor in end:
            os.close(descriptor)


@pytest.fixture
def raw():
    """An end, and the descriptor that writes to it."""
    reading, writing = os.pipe()
    yield Wire(reading, os.dup(writing)), writing
    os.close(reading)


def until(step):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if (found := step()) is not None and found is not False:
            return found
    raise AssertionError("nothing came")


JSON = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False,
                                                                          allow_infinity=False),
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=5,
    ),
    max_size=4,
)  # fmt: skip


@given(st.lists(JSON | st.binary(max_size=300), max_size=6))
def test_frames_come_out_as_they_went_in(frames):
    reading, writing = os.pipe()
    there, here = Wire(reading, os.dup(writing)), Wire(os.dup(reading), writing)
    for frame in frames:
        here.send_bytes(frame) if isinstance(frame, bytes) else here.send(frame)
    assert [until(lambda: (there.receive(),))[0] for _ in frames] == frames
    for descriptor in (reading, writing, there._writing, here._reading):
        os.close(descriptor)


def test_what_a_login_shell_prints_is_skipped(raw):
    wire, writing = raw
    os.write(writing, b"Last login: today\n\0edgecv" + MAGIC)
    Wire(os.dup(wire._reading), writing).send({"a": 1})

    until(wire.find_greeting)

    assert until(wire.receive) == {"a": 1}


def test_noise_without_end_is_given_up(raw):
    wire, writing = raw

    def noise():
        os.write(writing, b"y\n" * 8000)
        return wire.find_greeting()

    with pytest.raises(WireClosedError):
        until(noise)


@pytest.mark.parametrize(
    "content",
    [
        b"X\0\0\0\1a",
        b"J\xff\xff\xff\xff",  # 4 GiB are announced, and nothing is allocated for them
        b"B\x00\x10\x00\x01",  # one byte more than a piece has
        b"J\0\0\0\4nope",
        b"J\0\0\0\2[]",
        b"J\0\0\0\2\xff\xfe",
    ],
)
def test_anything_else_ends_the_talk(raw, content):
    wire, writing = raw
    os.write(writing, content)
    with pytest.raises(WireClosedError):
        until(wire.receive)


def test_half_a_frame_is_no_frame(raw):
    wire, writing = raw
    os.write(writing, b'J\0\0\0\x07{"a"')
    assert wire.receive() is None
    os.write(writing, b":1}")
    assert until(wire.receive) == {"a": 1}


def test_an_end_that_hangs_up_is_noticed():
    reading, writing = os.pipe()
    gone = Wire(reading, writing)
    os.close(writing)
    with pytest.raises(WireClosedError):
        gone.receive()
    with pytest.raises(WireClosedError):
        gone.send({})
    os.close(reading)


def test_an_end_that_takes_nothing_is_given_up(pair):
    here, _ = pair
    with pytest.raises(WireStalledError):
        here.send_bytes(bytes(module.CHUNK_BYTES), seconds=0.2)


def test_waiting_to_send_can_be_interrupted(pair):
    here, _ = pair

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        here.send_bytes(bytes(module.CHUNK_BYTES), poll=stop)


def test_a_large_message_goes_through_a_small_pipe(pair):
    here, there = pair
    message = {"text": "x" * 500_000}
    sender = threading.Thread(target=here.send, args=(message,))
    sender.start()
    assert until(there.receive) == message
    sender.join()
