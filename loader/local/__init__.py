"""The local stack: Google's Firestore emulator and bqemulator, for the demo and the tests."""
