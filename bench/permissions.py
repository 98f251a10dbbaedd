"""What a permission decision costs, with few and with a thousand grants: `python -m bench.permissions`.

Its yardstick is the check of one signature in the same run, which every signed request pays.
"""

from collections.abc import Callable
from statistics import median
from time import perf_counter

from thingstead.model import signatures
from thingstead.model.permissions import METHODS, Permissions
from thingstead.model.values import JsonObject

CALLS = 20_000
ROUNDS = 5
TARGET_US = 20


def grants(number: int) -> JsonObject:
    """That many grants: half of them the user's own, half everybody's, at three depths."""
    own: JsonObject = {}
    public: JsonObject = {}
    for n in range(number):
        path = "/".join(f"kind{n}/{n}/links".split("/")[: n % 3 + 1])
        (own if n % 2 else public)[path] = ["GET"] if n % 5 else ["-"]
    return {"u1": own, "*": {**public, "*": ["GET"]}}


def decided(number: int) -> Callable[[], object]:
    """A decision at four segments, allowed and refused in turn."""
    held = Permissions(grants(number), {f"kind{n}s": f"kind{n}" for n in range(number)})
    asked = [(f"kind{n}s/{n}/links/other", method) for n in (1, 2, number - 1) for method in METHODS]
    turn = iter(())

    def work() -> object:
        nonlocal turn
        pair = next(turn, None)
        if pair is None:
            turn = iter(asked)
            pair = next(turn)
        return held.decide("u1", *pair)

    return work


def checked() -> Callable[[], object]:
    """The check of a signature that does not hold: as dear as one that does."""
    given = signatures.parse_authorization(
        "AWS4-HMAC-SHA256 Credential=app:x/20260115/us-east-1/para/aws4_request, "
        f"SignedHeaders=host;x-amz-date, Signature={'0' * 64}"
    )
    assert given is not None
    headers = {"host": "localhost:8080", "x-amz-date": "20260115T103000Z"}
    return lambda: signatures.verified(
        given, "s" * 56, method="GET", raw_path="/v1/dogs/1", raw_query="", headers=headers, body=b"", body_hash=""
    )


def microseconds(work: Callable[[], object]) -> float:
    """The median over rounds of the mean of many calls."""
    found: list[float] = []
    for _ in range(ROUNDS):
        start = perf_counter()
        for _ in range(CALLS):
            work()
        found.append((perf_counter() - start) / CALLS * 1e6)
    return median(found)


def main() -> None:
    """Measure, print a table, and say whether the target is met."""
    yardstick = microseconds(checked())
    few, many = microseconds(decided(10)), microseconds(decided(1_000))
    print("| what | µs | against one signature check |\n|---|---|---|")
    for name, cost in (("decision, 10 grants", few), ("decision, 1,000 grants", many), ("signature check", yardstick)):
        print(f"| {name} | {cost:.2f} | {cost / yardstick:.2f} |")
    print(f"\n1,000 grants cost {many / few:.2f} times what 10 cost; the target is {TARGET_US} µs: {many < TARGET_US}")


if __name__ == "__main__":
    main()
