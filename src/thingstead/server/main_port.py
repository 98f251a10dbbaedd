"""The main port: which door answers which path (doors.md 30). Whatever is not named is hypermedia's, 404s included."""

from collections.abc import Mapping

from thingstead.transports.http import AsgiApp, Receive, Scope, Send


def main_port(doors: Mapping[str, AsgiApp], rest: AsgiApp) -> AsgiApp:
    """One app that hands each request to the door that has its first path segment, else to `rest`."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        door = doors.get(path[1 : path.find("/", 1)] if path.find("/", 1) > 0 else path[1:])
        await (door or rest)(scope, receive, send)

    return app
