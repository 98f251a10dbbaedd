"""Who gets how far: every route of every door x every kind of caller x method is answered as `access.md` says.

A route without a row fails; so does a row without a route.
"""

from pathlib import Path

from support.matrix import METHODS, SETTINGS, World, measure, routes, told
from support.server import Server


def test_every_route_answers_every_caller_as_the_page_says(tmp_path: Path) -> None:
    expected = told()
    found = routes()
    wanted = {(route.section, route.path, method) for route in found for method in METHODS}
    assert wanted == set(expected), "write the page anew with tools/access_matrix.py, and read what it changed"
    with Server(tmp_path, settings=SETTINGS) as server:
        world = World(server)
        try:
            for route, method, statuses in measure(world, found):
                assert max(statuses) < 500 or 501 in statuses, (route.path, method, statuses)
                row = route.section, route.path, method
                assert list(map(str, statuses)) == expected[row], row
        finally:
            world.close()
