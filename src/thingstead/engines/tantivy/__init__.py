"""Index on Tantivy."""
