"""The web door: signing in on pages, cookies, and paths that need a login (identity.md 9; doors.md 30, 32).

`app(backend, rest)` makes it: it answers its own paths and stands before `rest`, which answers all others that are no
API's.
"""

from thingstead.doors.web.routes import ENDPOINTS, app

__all__ = ["ENDPOINTS", "app"]
