"""The way out: REST, the live socket and the page, on what PostgreSQL and the shards know."""
