"""The dbt project: its declarations, a laundromat's settings, and builds."""
