"""Signing in: what proves who a person is (identity.md 8), one module a provider; `core/users.py` makes them users."""
