"""Conversations written by hand, each for one trap of forwarding, grouped by protocol."""
