"""The page with everything that is kept of one person."""
