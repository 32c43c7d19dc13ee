"""The local stack: the emulators, the sample laundromats and the demo."""
