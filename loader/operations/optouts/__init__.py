"""Opt-outs by hand: of one person, or of a list such as Procon's."""
