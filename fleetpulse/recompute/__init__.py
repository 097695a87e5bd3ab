"""Views of the past: what late records change, computed beside the live view and promoted."""
