"""Embedded data: checked when read; damage is named, with the cure."""

import hashlib
import json

import pytest

from attn_course import data


@pytest.fixture
def folder(tmp_path, monkeypatch):
    content = b"small and real"
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.gz").write_bytes(content)
    known = {
        "set/a.gz": hashlib.sha256(content).hexdigest(),
        "set/lost.gz": "0" * 64,
    }
    (tmp_path / "checksums.json").write_text(json.dumps(known))
    monkeypatch.setattr(data.resources, "files", lambda _: tmp_path)
    return tmp_path


def test_read(folder):
    assert data.read("set/a.gz") == b"small and real"


def test_damaged_file(folder):
    (folder / "set" / "a.gz").write_bytes(b"small and rea1")
    with pytest.raises(
        data.DataError, match="set/a.gz.*SHA-256.*git checkout"
    ):
        data.read("set/a.gz")


def test_missing_file(folder):
    with pytest.raises(
        data.DataError, match="set/lost.gz.*none.*git checkout"
    ):
        data.read("set/lost.gz")


def test_unknown_name(folder):
    with pytest.raises(ValueError, match="name: .*set/a.gz.*nothing"):
        data.read("nothing")


def all_files():
    folder = data.resources.files(data)
    known = json.loads(folder.joinpath("checksums.json").read_text("utf-8"))
    return sorted(known)


@pytest.mark.parametrize("name", all_files())
def test_every_embedded_file_is_whole_and_has_a_card(name):
    assert data.read(name)
    card = data.resources.files(data).joinpath(name.split("/")[0], "CARD.md")
    text = card.read_text("utf-8").lower()
    for word in ("source", "licence", "not good for"):
        assert word in text


def test_every_embedded_archive_has_a_checksum():
    folder = data.resources.files(data)
    found = [
        f"{place.name}/{file.name}"
        for place in folder.iterdir()
        if place.is_dir() and place.name != "build"
        for file in place.iterdir()
        if file.name.endswith((".gz", ".npz", ".xz", ".zip"))
    ]
    assert sorted(found) == all_files()


def test_sample_draws_at_random_and_again_the_same():
    items = [f"text {i}" for i in range(1000)]
    drawn = data.sample(items, 200)
    assert len(set(drawn)) == 200 and set(drawn) < set(items)
    assert drawn == data.sample(items, 200, seed=0)
    assert drawn != data.sample(items, 200, seed=1)
    places = data.sample(range(1000), 200)
    assert drawn == [items[i] for i in places]
    # From everywhere: the mean place is near the middle, in no order.
    assert abs(sum(places) / 200 - 499.5) < 60
    assert places != sorted(places)
    assert sorted(data.sample(items, 1000)) == sorted(items)
    assert data.sample(items, 0) == []


@pytest.mark.parametrize("n", [-1, 4])
def test_sample_refuses_more_than_there_are(n):
    with pytest.raises(ValueError, match="n: expected 0 to 3 items, got"):
        data.sample("abc", n)
