"""Counting what happens too often (identity.md 13, 17). Pure: the time is handed in, in microseconds.

A window begins with the first hit of a key and lasts a fixed time: of N hits that it has room for the N-th passes and
the next does not, and who has to wait is told when it ends. Around the border of two windows twice as many may pass.
Memory is bounded: beyond MOST_KEYS the key whose window began first is forgotten.
"""

import ipaddress
from typing import Final, Literal

MINUTE: Final = 60_000_000
MOST_KEYS: Final = 50_000


class Window:
    """What one key did since `began`."""

    __slots__ = ("began", "count")

    def __init__(self, began: int) -> None:
        self.began = began
        self.count = 0


class Rate:
    """At most `most` hits of a key in a window of `length` microseconds; 0: no limit."""

    def __init__(self, most: int, length: int = MINUTE, *, keys: int = MOST_KEYS) -> None:
        self.most = most
        self._length = length
        self._keys = keys
        self._windows: dict[str, Window] = {}  # the one that began first is first

    def hit(self, key: str, now: int, count: int = 1) -> int:
        """Count one, or several; microseconds until the next would pass if this is too many, else 0."""
        if not self.most:
            return 0
        window = self._windows.get(key)
        if window is None or now - window.began >= self._length:
            window = self._begin(key, now)
        window.count += count
        return 0 if window.count <= self.most else max(1, window.began + self._length - now)

    def over(self, key: str, now: int) -> int:
        """Microseconds until a hit of this key would pass, 0 if one would now; counts nothing."""
        window = self._windows.get(key)
        if window is None or window.count < self.most or not self.most:
            return 0
        return max(0, window.began + self._length - now)

    def __len__(self) -> int:
        return len(self._windows)

    def _begin(self, key: str, now: int) -> Window:
        windows = self._windows
        windows.pop(key, None)  # so that it comes last again
        while windows:
            oldest = next(iter(windows))
            if len(windows) < self._keys and now - windows[oldest].began < self._length:
                break
            del windows[oldest]
        window = windows[key] = Window(now)
        return window


class Places:
    """Connections that are open: `most` in all, `each` of one client, 0: no limit. A negative `each` is a limit of that
    many that does not hold at loopback: there is this machine, or a proxy that nobody declared.
    """

    def __init__(self, most: int, each: int) -> None:
        self.open = 0
        self.full = 0
        """Refused because there were `most`."""
        self.crowded = 0
        """Refused because one client had `each`."""
        self._most = most
        self._each = abs(each)
        self._lenient = each < 0
        self._clients: dict[str, int] = {}

    def enter(self, client: str, *, trusted: bool = False) -> Literal["", "full", "crowded"]:
        """Take a place for a client (a `network`); else why there is none. `trusted`: may have any number."""
        if self._most and self.open >= self._most:
            self.full += 1
            return "full"
        taken = self._clients.get(client, 0)
        if self._each and taken >= self._each and not trusted and not (self._lenient and is_loopback(client)):
            self.crowded += 1
            return "crowded"
        self.open += 1
        self._clients[client] = taken + 1
        return ""

    def leave(self, client: str) -> None:
        """Give a place back."""
        self.open -= 1
        left = self._clients[client] - 1
        if left:
            self._clients[client] = left
        else:
            del self._clients[client]


def network(address: str) -> str:
    """What counts as one client: an IPv4 address, the /64 of an IPv6 address; text that is no address as it is.

    >>> network("2001:db8:1:2:3:4:5:6"), network("::ffff:192.0.2.1"), network("192.0.2.1")
    ('2001:db8:1:2::/64', '192.0.2.1', '192.0.2.1')
    """
    if ":" not in address:
        return address
    try:
        found = ipaddress.IPv6Address(address.partition("%")[0].strip("[]"))
    except ValueError:
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return f"{ipaddress.IPv6Address(int(found) >> 64 << 64)}/64"


def is_loopback(client: str) -> bool:
    """Whether a `network` is this machine."""
    return client.startswith("127.") or client == "::/64"  # ::1, and nothing else that could be a client
