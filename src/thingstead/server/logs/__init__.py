"""Logs: `lines` says what is logged where and in which form, `files` writes it, `access` is the access log."""
