"""Firestore with faults: between the loader and what holds the documents, at the level of gRPC."""
