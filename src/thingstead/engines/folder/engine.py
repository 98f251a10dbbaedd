"""The folder of files as the composition opens it (ports.engine)."""

from pathlib import Path

from thingstead.engines.folder import FolderFiles
from thingstead.ports.engine import Engine, Place

FOLDER = "files"
_MB = 1024 * 1024


async def _open(place: Place) -> FolderFiles:
    settings = place.settings
    folder = Path(settings.local_storage or place.directory / FOLDER)
    return FolderFiles(folder, place.entropy, most_bytes=settings.local_storage_max_mb * _MB)


engine = Engine("fs", _open)
