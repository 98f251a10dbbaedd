"""HTTP serving and limits."""
