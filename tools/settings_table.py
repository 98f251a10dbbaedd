"""Write the tables of `docs/reference/settings.md` anew from the code: `python tools/settings_table.py`.

A test compares both; this saves the typing. Text around the tables stays as it is.
"""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from thingstead.model.keys import Key, keys

PAGE = Path(__file__).parent.parent / "docs/reference/settings.md"
HEAD = "| key | default | what it is |\n|---|---|---|\n"
OPTIONS, WITHOUT = "## Of each app\n", "## Accepted without effect\n"


def _rows(found: Iterable[Key]) -> str:
    return "".join(f"| `{key.name}` | `{json.dumps(key.default)}` | {key.about} |\n" for key in found)


def _grouped(section: str, wanted: Callable[[Key], bool]) -> str:
    """The section up to its first heading, then a table for each category, in the order that it had."""
    intro = section.partition("### ")[0].rstrip() + "\n\n"
    known = [key for key in keys().values() if wanted(key)]
    order = dict.fromkeys([*re.findall(r"^### (.*)$", section, re.M), *(key.category for key in known)])
    tables = {name: _rows(key for key in known if key.category == name) for name in order}
    return intro + "\n".join(f"### {name}\n\n{HEAD}{rows}" for name, rows in tables.items() if rows)


def main() -> None:
    """Write the page."""
    first, _, rest = PAGE.read_text().partition(OPTIONS)
    options, _, without = rest.partition(WITHOUT)
    before, _, after = first.partition(HEAD)
    after = re.sub(r"\A(\|.*\n)*", "", after)
    own = before + HEAD + _rows(key for key in keys().values() if key.field) + after
    PAGE.write_text(
        own
        + OPTIONS
        + _grouped(options, lambda key: bool(key.option))
        + "\n"
        + WITHOUT
        + _grouped(without, lambda key: not (key.field or key.option))
    )


if __name__ == "__main__":
    main()
