"""What every engine of a port must keep, as tests for the engine's author (ports/; docs/how-to/plug-ins.md).

`store`, `index`, `cache`, `files`, `mailer`, `queue`, `hub`, `broker` and `sessions` are one suite each; the others are
what they share. Needs pytest and hypothesis: `pip install thingstead[conformance]`. Nothing else imports this package.
"""
