"""Files in a folder of this machine."""

from thingstead.engines.folder.files import FolderFiles

__all__ = ["FolderFiles"]
