"""The web page for owners, analysts and operators; today the owner's report."""
