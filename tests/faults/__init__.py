"""A Firestore with faults: a gRPC server between the loader and the store of the documents."""
