"""Floor 5: composition: settings, command line, building, wiring, starting and stopping the parts."""
