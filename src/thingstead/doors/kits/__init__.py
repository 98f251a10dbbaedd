"""Kits door: /kits for AstroPlant clients (spec/things.md section 10)."""
