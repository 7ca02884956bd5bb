"""Where the token store keeps its entries: a file of SQLite, or a Redis."""
