"""`setup`, `new-app`, `new-keys`: apps and their keys from the command line; the work is done in server/cli/manage."""

from pathlib import Path
from typing import TYPE_CHECKING

from thingstead.server.cli.base import Flag, Sets, as_json, managing

if TYPE_CHECKING:
    from thingstead.core.tenants import Keys


def setup(*, data: Path = Path("data"), url: str = "", set: Sets = None, json: Flag = False) -> None:
    """Make the root app, and print its keys; "All set!" if they were shown before.

    Parameters
    ----------
    data
        Data directory, which no server may be using; made if it is not there.
    url
        Ask the server there instead, as `GET /v1/_setup`.
    set
        A setting, KEY=VALUE; may be repeated.
    json
        Print JSON.
    """
    from thingstead.server.cli.manage import set_up

    def told(keys: "Keys | None") -> None:
        if keys is not None:
            _show(keys, json=json)
        else:
            print(as_json({"code": 200, "message": "All set!"}) if json else "All set!")

    managing(data, set, url, None, set_up, told)


def new_app(
    app: str,
    /,
    *,
    name: str = "",
    creator: str = "",
    data: Path = Path("data"),
    url: str = "",
    keys: Path | None = None,
    set: Sets = None,
    json: Flag = False,
) -> None:
    """Make an app, and print its keys: they are not shown again.

    Parameters
    ----------
    app
        Its identifier, with or without `app:`.
    name
        Its display name.
    creator
        Id of the object that it belongs to.
    data
        Data directory, which no server may be using.
    url
        Ask the server there instead, with root's keys.
    keys
        File with root's accessKey and secretKey in JSON. Default: root-keys.json in the data directory.
    set
        A setting, KEY=VALUE; may be repeated.
    json
        Print JSON.
    """
    from thingstead.server.cli import manage

    managing(
        data, set, url, keys, lambda place: manage.new_app(place, app, name, creator), lambda k: _show(k, json=json)
    )


def new_keys(
    app: str = "",
    /,
    *,
    data: Path = Path("data"),
    url: str = "",
    keys: Path | None = None,
    set: Sets = None,
    json: Flag = False,
) -> None:
    """Give an app a new secret, and print its keys: everything signed with the old one is refused from then on.

    Parameters
    ----------
    app
        Its identifier; the root app if not given.
    data
        Data directory, which no server may be using.
    url
        Ask the server there instead, with root's keys.
    keys
        File with root's accessKey and secretKey in JSON. Default: root-keys.json in the data directory.
    set
        A setting, KEY=VALUE; may be repeated.
    json
        Print JSON.
    """
    from thingstead.server.cli import manage

    managing(data, set, url, keys, lambda place: manage.new_keys(place, app), lambda k: _show(k, json=json))


def _show(keys: "Keys", *, json: bool) -> None:
    if json:
        print(as_json({"accessKey": keys.access_key, "secretKey": keys.secret_key}))
    else:
        print(f"accessKey: {keys.access_key}\nsecretKey: {keys.secret_key}")
