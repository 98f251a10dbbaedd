"""Files: a store of named byte streams beside the objects (objects.md 17): pictures, attachments, exports. No HTTP.

Paths are those of `model.files.clean`: `a/b.png`, a leading `/` dropped. Promises every engine keeps, tested by
`conformance/files.py`:

* **Whole or not at all**: a file is seen under its path only when all of it is durable; until then, and if storing
  fails, breaks off or exceeds the limit, what was there stays. A reader goes on reading what it began to read.
* **Inside**: no path leads to what was not stored through this port, whatever its characters and whatever links lie
  in the way.
"""

from collections.abc import AsyncIterable, AsyncIterator
from typing import Protocol


class Files(Protocol):
    """See the module's docstring. Raises InvalidInput for paths that are refused, Unavailable if the engine fails."""

    async def load(self, path: str) -> AsyncIterator[bytes] | None:
        """The bytes of a file in parts, in order; None for a blank path or if there is none."""
        ...

    async def store(self, path: str, stream: AsyncIterable[bytes]) -> str | None:
        """Store or replace a file; where it is from now on: a URL, or its path.

        None for a blank path, and for a stream over the size limit, of which nothing is kept. What `stream` raises is
        passed on.
        """
        ...

    async def delete(self, path: str) -> bool:
        """Delete a file; False if there was none. Folders are no files."""
        ...
