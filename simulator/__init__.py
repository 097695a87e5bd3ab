"""A seeded fleet of rotating machines. Generating, sending and measuring are kept apart."""
