"""Markdown as HTML beside the loop; one document at a time, because a renderer holds no more (objects.md 12)."""

import asyncio

from thingstead.model.markdown import Markdown
from thingstead.model.settings import Settings


class Rendering:
    """The renderer of the server's settings."""

    def __init__(self, settings: Settings) -> None:
        self._markdown = Markdown(settings.markdown_soft_break, settings.markdown_allowed_follow_domains.split(","))
        self._busy = asyncio.Lock()

    async def html(self, text: str) -> str:
        """The HTML of a document. Raises TooLarge."""
        async with self._busy:
            return await asyncio.to_thread(self._markdown.html, text)
