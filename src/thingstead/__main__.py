"""`python -m thingstead`: the same as the command `thingstead`."""

from thingstead.server.cli import main

main()
