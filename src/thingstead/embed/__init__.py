"""What a program that embeds thingstead, and a plug-in of it, works with (objects.md 21).

A door like those of floor 4, whose clients are Python programs: `entities` turns their classes into objects and back,
`dao` and `search` are core's calls under the names that Para's users know, `listeners` and `resources` are what
plug-ins subclass. Opening a data directory is `server/embedding`. `import thingstead` hands all of it out.
"""
