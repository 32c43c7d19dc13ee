"""A person's rights: what is kept of them, its erasure, and for how long the rest is kept."""
