"""Floor 3: what the backend does."""
