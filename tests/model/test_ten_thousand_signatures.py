"""10,000 random requests that botocore signs verify, and each with one byte altered is refused (issue 5)."""

from datetime import UTC, datetime
from random import Random
from urllib.parse import parse_qsl, quote

from support.sign import Signer
from thingstead.model import signatures

REQUESTS = 10_000
SECRET = "U3VTNifLPqnZ1W2S3pVVuKG4HOVbimMocdDMl8T69BB001AXGZtwZw=="
SIGNER = Signer("app:myapp", SECRET)
HOST = "things.example.org"
AT = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
LETTERS = "abcXYZ019 -_.~:/+%&=?#*'()!@$,;ünï漢🌱"


def holds(method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> bool:
    given = signatures.parse_authorization(headers["authorization"])
    return given is not None and signatures.verified(
        given, SECRET, method=method, raw_path=path, raw_query=query, headers=headers, body=body
    )


def text(random: Random, least: int = 1) -> str:
    return "".join(random.choices(LETTERS, k=random.randint(least, 8)))


def altered(random: Random, whole: str) -> str:
    """The text with one character replaced by another."""
    place = random.randrange(len(whole))
    other = random.choice([letter for letter in "abcdef0123456789" if letter != whole[place].lower()])
    return whole[:place] + other + whole[place + 1 :]


def test_each_verifies_and_with_one_byte_altered_is_refused() -> None:
    random = Random(20261123)
    refused = dict.fromkeys(("path", "query", "body", "date", "host", "signature", "method"), 0)
    for _ in range(REQUESTS):
        method = random.choice(["GET", "POST", "PUT", "PATCH", "DELETE"])
        segments = [quote(text(random), safe="") for _ in range(random.randint(1, 3))]
        path = "/v1/" + "/".join(segment if segment not in (".", "..") else "x" for segment in segments)
        names = {text(random) for _ in range(random.randint(0, 3))}
        query = "&".join(f"{quote(name, safe='')}={quote(text(random, 0), safe='')}" for name in sorted(names))
        body = random.randbytes(random.randint(0, 60))
        url = f"http://{HOST}{path}" + (f"?{query}" if query else "")
        signed = {name.lower(): value for name, value in SIGNER.headers(method, url, body, at=AT).items()}
        headers = {**signed, "host": HOST}
        assert holds(method, path, query, headers, body), (method, url)

        part = random.choice([name for name in refused if (query or name != "query") and (body or name != "body")])
        refused[part] += 1
        match part:
            case "path":
                wrong = method, "/v1/" + altered(random, path[4:]), query, headers, body
            case "query":
                other = altered(random, query)
                while dict(parse_qsl(other, True)) == dict(parse_qsl(query, True)):  # `%c3` is `%C3`
                    other = altered(random, query)
                wrong = method, path, other, headers, body
            case "body":
                place = random.randrange(len(body))
                flipped = body[place] ^ random.randrange(1, 256)
                wrong = method, path, query, headers, body[:place] + bytes((flipped,)) + body[place + 1 :]
            case "date":
                wrong = method, path, query, {**headers, "x-amz-date": altered(random, headers["x-amz-date"])}, body
            case "host":
                wrong = method, path, query, {**headers, "host": altered(random, HOST)}, body
            case "signature":
                start, _, signature = headers["authorization"].rpartition("=")
                wrong = method, path, query, {**headers, "authorization": f"{start}={altered(random, signature)}"}, body
            case _:
                wrong = altered(random, method).upper(), path, query, headers, body
        assert not holds(*wrong), (part, method, url, wrong)
    assert min(refused.values()) > REQUESTS / 20
