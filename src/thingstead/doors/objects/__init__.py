"""Objects door: /v1 for Para clients (spec/objects.md, spec/identity.md)."""
