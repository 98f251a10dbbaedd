"""Copies the data directory of a server, which may be running, into a new folder.

    python3 docs/how-to/back_up.py data backup

The order matters: `store.db` before `series.db`. Readings move from the first to the second, and what moves in between
is then in both copies; the other way round it would be in neither. The search index is left out: it is made anew.
"""

import shutil
import sqlite3
import sys
from pathlib import Path

DATABASES = ("store.db", "series.db")
REST = ("ca", "files", "secret.key", "root-keys.json", "thingstead.toml")


def copy_database(source: Path, target: Path) -> None:
    """One consistent copy, whatever is written meanwhile; checked."""
    reading = sqlite3.connect(f"file:{source}?mode=ro", uri=True)
    writing = sqlite3.connect(target)
    reading.backup(writing)
    (found,) = writing.execute("PRAGMA integrity_check").fetchone()
    writing.close()
    reading.close()
    if found != "ok":
        sys.exit(f"{target}: {found}")


def main(data: Path, backup: Path) -> None:
    backup.mkdir(mode=0o700)
    for name in DATABASES:
        copy_database(data / name, backup / name)
    for name in REST:
        source = data / name
        if source.is_dir():
            shutil.copytree(source, backup / name)
        elif source.exists():
            shutil.copy2(source, backup / name)
    print(f"{data} is in {backup}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: back_up.py DATA BACKUP")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
