"""The command line: `command` reads it; `apps`, `archives` and `look` are commands, `base` is what these share.

`manage`, `transfer`, `doctor` and `progress` are what they do. Modules are imported as far as a command needs them.
"""


def main() -> None:
    """The command `thingstead`."""
    from thingstead.server.cli.command import main as run

    run()
