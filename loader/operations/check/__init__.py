"""`vmhub check`: whether a laundromat can be served, and what to do where it cannot."""
