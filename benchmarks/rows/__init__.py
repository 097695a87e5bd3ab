"""Rows of PostgreSQL: what writing one costs, what exactly-once adds, how soon many are read."""
