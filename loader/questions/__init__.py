"""Questions that only read: why a customer is a target or not, and what a change would do."""
