"""An embedded Firestore for the demo and the tests: Google's protocol over documents in memory.

It answers what this project and Google's Python client ask, and refuses by name what it does not
know. It is no database: nothing is durable but for a file that is written when it ends, there are
no indexes and no security rules. Where Google's emulator is known to differ from the service, it
does what the service does.
"""

from loader.local.firestore.calls import EmbeddedFirestore
from loader.local.firestore.refusal import RefusedCall

__all__ = ["EmbeddedFirestore", "RefusedCall"]
