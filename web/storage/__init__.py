"""Where the token store keeps its entries, and rate limits count: a file of SQLite and this process, or a Redis."""
