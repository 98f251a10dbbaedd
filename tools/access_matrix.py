"""Write `docs/reference/access.md` anew: what each route answers each caller (`python tools/access_matrix.py`).

A test compares both. Read what changed before it is committed: the page is the expectation.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.matrix import CALLERS, REFERENCE, SETTINGS, World, measure, page, routes
from support.server import Server

INTRO = """# Access

What every route answers every kind of caller. The test `tests/doors/test_access_matrix.py` asks a server all of this;
`tools/access_matrix.py` writes the page. The server has every door closed (`auth`) and `acme` as its default app; the
addressed objects belong to the user *owner*. A number below 400 is a request that was let through, and so is 400 where
the body was not what the route takes.
"""


def main() -> None:
    """Start a server, ask, write."""
    with tempfile.TemporaryDirectory() as directory, Server(Path(directory), settings=SETTINGS) as server:
        world = World(server)
        rows = list(measure(world, routes()))
        world.close()
    callers = "\n".join(["| caller | who |", "|---|---|", *(f"| {name} | {who} |" for name, who in CALLERS.items())])
    (REFERENCE / "access.md").write_text("\n".join([INTRO, callers, *page(rows)]) + "\n")


if __name__ == "__main__":
    main()
