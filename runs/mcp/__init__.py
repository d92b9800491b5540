"""The Model Context Protocol, both ways: foreign servers' tools for our agents, and ours for foreign clients (`serving`).

The SDK takes more than a second to import: only what speaks the protocol imports it, and only when it speaks.
"""
