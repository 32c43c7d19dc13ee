"""All of BigQuery: Google's types and errors stay in here."""
