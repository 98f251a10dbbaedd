"""`thingstead.utils` offers embedders the utilities of objects.md 21, and loads no library before it is used."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from thingstead import utils
from thingstead.model.errors import InvalidInput, MalformedBody, TooLarge


def test_what_it_names_it_has() -> None:
    assert all(callable(getattr(utils, name)) for name in utils.__all__)
    assert list(utils.__all__) == sorted(utils.__all__)


def test_nothing_heavy_is_loaded_before_it_is_used() -> None:
    heavy = ("babel", "emoji", "linkify_it", "markdown_it", "mstache", "nh3")
    for module in ("thingstead.utils", "thingstead.server.running"):
        code = f"import sys, {module}; print([n for n in {heavy!r} if n in sys.modules])"
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
        assert ran.stdout.strip() == "[]", module


def test_bcrypt() -> None:
    hashed = utils.bcrypt_hash("secret", rounds=4)
    assert hashed.startswith("$2")
    assert utils.bcrypt_matches("secret", hashed)
    assert not utils.bcrypt_matches("Secret", hashed)
    assert not utils.bcrypt_matches("secret", "no hash")
    assert not utils.bcrypt_matches("secret", "")
    long = "x" * 100
    assert utils.bcrypt_matches(long, utils.bcrypt_hash(long, rounds=4))
    assert not utils.bcrypt_matches(long + "y", utils.bcrypt_hash(long, rounds=4))
    # as Para's own hashes are written
    assert utils.bcrypt_matches("secret", hashed.replace("$2b$", "$2a$"))
    with pytest.raises(InvalidInput):
        utils.bcrypt_hash("x", rounds=3)


def test_mustache() -> None:
    assert (
        utils.mustache({"name": "<b>", "n": [1, 2]}, "Hi {{name}} {{{name}}}{{#n}} {{.}}{{/n}}")
        == "Hi &lt;b&gt; <b> 1 2"
    )
    assert utils.mustache({}, "{{missing}}!") == "!"
    for broken in ("{{#a}}", "{{/a}}", "{{a"):
        with pytest.raises(InvalidInput) as refused:
            utils.mustache({"a": 1}, broken)
        assert refused.value.field == "template"


def test_dates_and_names() -> None:
    assert utils.format_date(0) == "1970-01-01"
    assert utils.format_date(datetime(2026, 3, 1, tzinfo=UTC), "d MMMM", "de_DE") == "1 März"
    assert utils.months()[0] == "January"
    assert utils.months("fr")[7] == "août"


def test_markdown_and_html() -> None:
    assert utils.markdown_to_html("# hello **test**") == "<h1>hello <strong>test</strong></h1>\n"
    assert utils.strip_html(utils.markdown_to_html("a **b**")) == "a b"
    with pytest.raises(TooLarge):
        utils.markdown_to_html("x" * 70_000)


def test_json_there_and_back() -> None:
    assert utils.to_json({"a": [1, None, "ü"]}) == '{"a":[1,null,"ü"]}'
    assert utils.from_json('{"a":[1,null,"ü"]}') == {"a": [1, None, "ü"]}
    for text in ("[1]", "{", '{"a":NaN}'):
        with pytest.raises(MalformedBody):
            utils.from_json(text)


def test_the_rest_is_that_of_the_model() -> None:
    assert utils.md5("abc") == "900150983cd24fb0d6963f7d28e17f72"
    assert utils.exact_time(56_700_000) == "15 h 45 m"
    assert utils.abbreviate_number(10_000) == "10K"
    assert utils.host_of("https://a.org/x") == "a.org"


def test_the_reference_names_every_function_and_method() -> None:
    page = (Path(__file__).parent.parent / "docs" / "reference" / "utilities.md").read_text()
    for name in utils.__all__:
        assert f"`{name}(" in page, name
    for method in ("newid", "timestamp", "formatdate", "formatmessage", "nospaces", "nosymbols", "md2html", "timeago"):
        assert f"| `{method}` |" in page, method
