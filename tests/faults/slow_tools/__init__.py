"""An app of tools whose effects are counted outside, by `tests.peers.effects`."""
