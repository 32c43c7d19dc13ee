"""VMHub campaigns: the loader between the dbt project's tables and Firestore."""

__all__ = ["__version__"]

__version__ = "0.1.0"
