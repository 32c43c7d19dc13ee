"""Opt-outs by hand: one person, or a list such as Procon's."""
