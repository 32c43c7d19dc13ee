"""The Firestore edge: Google's types and errors stay in here."""
