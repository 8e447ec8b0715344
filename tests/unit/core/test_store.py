"""Stores keep bytes under keys, and lose them rather than lie."""

import os
import threading

import pytest

from edgecv_cli.core.errors import OutputError
from edgecv_cli.core.store import FolderStore, MemoryStore, digest_key


def entries(root):
    return sorted(root.glob("*.entry"))


@pytest.fixture(params=["memory", "folder"])
def store(request, tmp_path):
    return MemoryStore() if request.param == "memory" else FolderStore(tmp_path / "cache", 10_000)


def test_what_was_put_comes_back(store):
    store.put("a", b"one")
    store.put("b", b"")
    assert (store.get("a"), store.get("b"), store.get("c")) == (b"one", b"", None)


def test_the_last_put_counts(store):
    store.put("a", b"one")
    store.put("a", b"two")
    assert store.get("a") == b"two"


@pytest.mark.parametrize("key", ["../../escape", "/etc/passwd", "a\0b", "", "ключ" * 200])
def test_a_key_may_hold_anything(tmp_path, key):
    FolderStore(tmp_path / "cache", 1000).put(key, b"value")
    assert FolderStore(tmp_path / "cache", 1000).get(key) == b"value"
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


@pytest.mark.parametrize("damage", [b"", b"short", b"x" * 100])
def test_a_damaged_entry_is_a_miss_and_goes(tmp_path, damage):
    store = FolderStore(tmp_path, 1000)
    store.put("a", b"value")
    entries(tmp_path)[0].write_bytes(damage)
    assert store.get("a") is None
    assert entries(tmp_path) == []


def test_one_flipped_bit_is_a_miss(tmp_path):
    store = FolderStore(tmp_path, 1000)
    store.put("a", b"value")
    (path,) = entries(tmp_path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert store.get("a") is None


def test_the_entry_used_longest_ago_goes_first(tmp_path):
    store = FolderStore(tmp_path, 3 * 132)
    for age, key in enumerate("abc"):
        store.put(key, bytes(100))
        newest = max(entries(tmp_path), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, (age, age))
    store.get("a")
    store.put("d", bytes(100))
    assert {key: store.get(key) is not None for key in "abcd"} == {
        "a": True,
        "b": False,
        "c": True,
        "d": True,
    }


def test_the_size_limit_holds_and_a_value_above_it_is_not_kept(tmp_path):
    store = FolderStore(tmp_path, 1000)
    for number in range(20):
        store.put(str(number), bytes(200))
    store.put("huge", bytes(1000))
    assert store.get("huge") is None
    assert 0 < sum(path.stat().st_size for path in entries(tmp_path)) <= 1000


def test_replacing_an_entry_does_not_evict_another(tmp_path):
    store = FolderStore(tmp_path, 2 * 132)
    store.put("a", bytes(100))
    store.put("b", bytes(100))
    store.put("b", bytes(99))
    assert store.get("a") == bytes(100)


def test_a_dead_writers_leftover_is_cleared(tmp_path):
    store = FolderStore(tmp_path, 1000)
    (tmp_path / "dead.tmp").write_bytes(b"half")
    store.put("a", b"value")
    assert not (tmp_path / "dead.tmp").exists()


def test_writers_at_the_same_time_leave_whole_entries(tmp_path):
    def write(letter):
        store = FolderStore(tmp_path, 100_000)
        for number in range(30):
            store.put(f"{number % 3}", letter * 5000)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"x", b"y", b"z")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for key in "012":
        value = FolderStore(tmp_path, 100_000).get(key)
        assert value in (b"x" * 5000, b"y" * 5000, b"z" * 5000)
    assert list(tmp_path.glob("*.tmp")) == []


def test_a_folder_that_cant_be_used_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cache folder"):
        FolderStore(tmp_path / "file" / "cache", 1000)


def test_work_goes_on_when_the_store_is_gone(tmp_path):
    store = FolderStore(tmp_path / "cache", 1000)
    for path in (tmp_path / "cache").iterdir():
        path.unlink()
    (tmp_path / "cache").rmdir()
    store.put("a", b"value")
    assert store.get("a") is None


def test_a_key_depends_on_names_and_values_not_on_their_order():
    key = digest_key(stage="quantize", version=1, inputs=["ab", "cd"])
    assert key == digest_key(version=1, inputs=["ab", "cd"], stage="quantize")
    assert len(key) == 64
    others = [
        digest_key(stage="quantize", version=2, inputs=["ab", "cd"]),
        digest_key(stage="quantize", version=1, inputs=["abcd"]),
        digest_key(stage="quantize", version=1, input=["ab", "cd"]),
    ]
    assert len({key, *others}) == 4


@pytest.mark.parametrize("value", [float("nan"), b"bytes", object()])
def test_a_key_refuses_what_has_no_canonical_form(value):
    with pytest.raises((TypeError, ValueError)):
        digest_key(value=value)
