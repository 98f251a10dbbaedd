"""Store on SQLite (apsw): store.db and series.db."""
