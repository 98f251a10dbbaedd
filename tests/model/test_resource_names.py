"""Names of resources in `_permissions` paths come out however a client encoded them (identity.md 10.6)."""

import base64
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingstead.model.errors import InvalidInput
from thingstead.model.resource_names import encoded, resource_of

TYPES = frozenset({"user", "users", "dog", "pets", "linker"})

CASES = [
    ("Y2F0cw", "cats"),
    ("ZG9n", "dog"),
    ("dXRpbHMvdGltZXN0YW1w", "utils/timestamp"),
    ("cG9zdHMvMQ==", "posts/1"),
    ("cG9zdHMvMQ", "posts/1"),
    ("Kg", "*"),
    ("Kg==", "*"),
    ("*", "*"),
    ("L2RvZy8", "dog"),  # /dog/
    ("dog", "dog"),
    ("posts/1", "posts/1"),
    ("/posts/", "posts"),
    ("posts%2F1", "posts/1"),
    ("cG9zdHMlMkYx", "posts/1"),  # posts%2F1
    ("_batch", "_batch"),
    ("X2JhdGNo", "_batch"),
    ("pets", "pets"),
    ("user", "user"),
    ("a.b", "a.b"),  # dots stay (D9)
    ("w7xi", "üb"),
    ("dG9kby8q", "todo/*"),
    ("MTIz", "123"),
    ("Zm9v=", "Zm9v="),  # wrong padding: a text
    ("Zm9=", "Zm9="),  # not canonical
    ("YQ", "a"),
    ("YR", "YR"),  # not canonical either
]


@pytest.mark.parametrize(("segment", "resource"), CASES)
def test_both_encodings(segment: str, resource: str) -> None:
    assert resource_of(segment, TYPES.__contains__) == resource


@pytest.mark.parametrize("segment", ["", " ", "/", "//", "IA", "Lw==", "%ff", "a%00b", "a\nb", "%20"])
def test_what_means_nothing_is_refused(segment: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        resource_of(segment, TYPES.__contains__)
    assert refused.value.field == "resource"


printable = st.text(st.characters(codec="utf-8").filter(str.isprintable), min_size=1, max_size=40).filter(
    lambda text: text.strip() and not text.startswith("/") and not text.endswith("/") and unquote(text) == text
)
usual = st.from_regex(r"[a-zA-Z_*][a-zA-Z0-9_.:*\-]*(/[a-zA-Z0-9_.:*\-]+)*", fullmatch=True)


@given(printable)
def test_every_printable_path_comes_back_from_base64(path: str) -> None:
    """But for all-lower-case Base64 that is a plain word: only of what no path consists of, or a type's name."""
    for segment in (encoded(path), base64.urlsafe_b64encode(path.encode()).decode()):
        if segment != segment.lower():
            assert resource_of(segment, TYPES.__contains__) == path


@given(usual)
def test_every_usual_path_comes_back_from_any_base64(path: str) -> None:
    for segment in (
        encoded(path),
        base64.urlsafe_b64encode(path.encode()).decode(),
        base64.b64encode(path.encode()).decode(),
        encoded(quote(path, safe="")),
    ):
        if segment not in TYPES:
            assert resource_of(segment, TYPES.__contains__) == path


@given(printable)
def test_every_printable_path_comes_back_from_percent_encoding(path: str) -> None:
    """Unless the path itself is Base64 of a printable text."""
    found = resource_of(unquote(quote(path, safe="")), TYPES.__contains__)
    if found != path:
        text = base64.b64decode(
            path.rstrip("=").replace("-", "+").replace("_", "/") + "=" * (-len(path.rstrip("=")) % 4)
        )
        assert found == unquote(text.decode()).removeprefix("/").removesuffix("/")
