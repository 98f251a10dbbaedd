"""Writes a line for each write of an object, and for each app that comes and goes, into the file `$LEDGER`."""

import os
from typing import Any, TextIO

import thingstead

READS = ("read", "read_all", "read_page")


class Ledger(thingstead.Listener):
    """Opens its file when thingstead starts and closes it when it ends."""

    file: TextIO

    def init(self, para: thingstead.Embedded) -> None:
        """The file grows over all starts."""
        self.file = open(os.environ.get("LEDGER", "ledger.txt"), "a", buffering=1)

    def destroy(self, para: thingstead.Embedded) -> None:
        """Nothing is written after this."""
        self.file.close()

    def after(self, call: thingstead.IoCall, result: Any) -> None:
        """What was written is durable by now."""
        if call.method not in READS:
            print(call.method, call.app, file=self.file)

    def app_created(self, app: str) -> None:
        """A new app."""
        print("app_created", app, file=self.file)

    def app_deleted(self, app: str) -> None:
        """An app is gone."""
        print("app_deleted", app, file=self.file)
