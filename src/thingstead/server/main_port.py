"""The main port: which door answers which path (doors.md 30). Whatever is not named is a page: the web door's own, or
behind it hypermedia's, 404s included."""

from collections.abc import Awaitable, Mapping

from thingstead.transports.http import AsgiApp, Receive, Scope, Send, send_answer

_NOT_FOUND = b'{"code":404,"message":"Not Found"}'


def main_port(doors: Mapping[str, AsgiApp], rest: AsgiApp) -> AsgiApp:
    """One app that hands each request to the door that has its first path segment, else to `rest`."""

    def app(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        first = scope["path"][1:].partition("/")[0]
        return doors.get(first, rest)(scope, receive, send)

    return app


def below(root_path: str, app: AsgiApp) -> AsgiApp:
    """The app below a path (`para.context_path`), which doors find in `root_path` instead; 404 outside of it.

    Signatures cover the whole path: core.identity puts it back.
    """
    raw = root_path.encode()

    async def shorter(scope: Scope, receive: Receive, send: Send) -> None:
        raw_path: bytes = scope["raw_path"]
        if raw_path != raw and not raw_path.startswith(raw + b"/"):
            if scope["type"] == "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 1008})
            else:
                await send_answer(send, 404, _NOT_FOUND)
            return
        scope["root_path"] = root_path
        scope["path"] = scope["path"][len(root_path) :] or "/"
        scope["raw_path"] = raw_path[len(raw) :] or b"/"
        await app(scope, receive, send)

    return shorter if root_path else app
