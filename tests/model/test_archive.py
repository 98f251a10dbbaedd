"""Promise: an entry of an archive is taken apart right however its bytes arrive, and what is no array of objects is
refused; a packed archive is a ZIP that can be written to a pipe."""

import io
import json
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingstead.model.archive import Packer, Splitter
from thingstead.model.errors import InvalidInput, MalformedBody, TooLarge
from thingstead.model.shadow_archive import restored
from thingstead.model.values import Json, JsonObject

TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(['"', "\\", '\\"', "}{", "][", '\\\\"'])
VALUES: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | TEXT,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(TEXT, below, max_size=4),
    max_leaves=12,
)
OBJECTS = st.lists(st.dictionaries(TEXT, VALUES, max_size=5), max_size=6)


@given(OBJECTS, st.booleans(), st.sampled_from([None, 0, 2]), st.lists(st.integers(1, 40)), st.booleans())
def test_any_array_in_any_pieces(
    objects: list[JsonObject], ascii: bool, indent: int | None, sizes: list[int], marked: bool
) -> None:
    data = (b"\xef\xbb\xbf" if marked else b"") + json.dumps(objects, ensure_ascii=ascii, indent=indent).encode()
    splitter = Splitter()
    found: list[bytes] = []
    for size in [*sizes, len(data)]:
        found += splitter.feed(data[:size])
        data = data[size:]
    splitter.close()
    assert [json.loads(each) for each in found] == objects
    assert splitter.count == len(objects)


@given(OBJECTS.filter(bool), st.data())
def test_an_array_that_ends_too_early_is_refused(objects: list[JsonObject], data: st.DataObject) -> None:
    text = json.dumps(objects).encode()
    splitter = Splitter()
    splitter.feed(text[: data.draw(st.integers(0, len(text) - 1))])
    with pytest.raises(MalformedBody):
        splitter.close()


BAD = [b"", b" ", b"{}", b"null", b"[1]", b'["a"]', b"[[]]", b"[null]", b"[{},]", b"[,{}]", b"[{} {}]", b"[{},,{}]"]
BAD += [b"[{}]]", b"[{}]{}", b"[{}", b'[{"a', b"]", b"[}]", b"x[]", b"[{}]x"]


@pytest.mark.parametrize("data", BAD)
def test_what_is_no_array_of_objects(data: bytes) -> None:
    def take(size: int) -> None:
        splitter = Splitter()
        for at in range(0, len(data), size):
            splitter.feed(data[at : at + size])
        splitter.close()

    for size in (1, len(data) or 1):
        with pytest.raises(MalformedBody):
            take(size)


@pytest.mark.parametrize("data", [b'[{"a":"' + b"x" * 200, b'[{"a":' + b"[" * 9, b'[{"a":' + b'{"a":' * 9])
def test_limits_hold_before_the_object_ends(data: bytes) -> None:
    with pytest.raises(TooLarge):
        Splitter(largest=100, deepest=9).feed(data)


def test_a_packed_archive_is_a_zip() -> None:
    packer = Packer("farm_20260115_120000", 1_768_478_400_000_000)
    parts: list[list[JsonObject]] = [[{"id": "ж"}, {"id": "b"}], []]
    data = b"".join([packer.part(part) for part in parts]) + packer.end()
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert opened.testzip() is None
        infos = opened.infolist()
        assert [info.filename for info in infos] == [f"farm_20260115_120000_part{n}.json" for n in (1, 2)]
        assert {info.date_time for info in infos} == {(2026, 1, 15, 12, 0, 0)}
        assert [json.loads(opened.read(info)) for info in infos] == parts


NOW = 1_768_478_400_000_000


@given(
    st.dictionaries(
        st.sampled_from(["version", "reported", "desired", "stateAt", "lastStamp", "attributes", "entityId", "x"]),
        VALUES,
    )
)
def test_a_shadow_out_of_an_archive_is_sound_or_refused(value: JsonObject) -> None:
    try:
        shadow = restored(value, None, NOW)
    except InvalidInput:
        return
    assert all(not leaf.series and not leaf.sensor and leaf.state_at <= NOW for leaf in shadow.leaves.values())
    assert shadow.last_stamp <= NOW


def test_a_shadow_from_the_future_does_not_keep_reports_out() -> None:
    ahead = NOW * 2
    value: JsonObject = {"reported": {"a": {"b": 1}}, "stateAt": {"a.b": ahead}, "lastStamp": ahead, "updated": ahead}
    shadow = restored(value, None, NOW)
    assert (shadow.leaves["a.b"].state_at, shadow.last_stamp, shadow.updated) == (NOW, NOW, NOW)
