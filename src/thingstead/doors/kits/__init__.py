"""The kits door: three GETs that show things as AstroPlant kits (things.md 10)."""

from thingstead.doors.kits.routes import app

__all__ = ["app"]
