"""All of Firestore: Google's types and errors stay in here."""
