"""`vmhub demo`: the whole system on sample laundromats and the local stack."""
