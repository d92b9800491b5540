"""Cutting a text into the pieces that are searched: along its structure, and so that the pieces joined are the text."""

from memory.chunking.blocks import Block, blocks_of
from memory.chunking.pieces import LIMIT, Piece, Sizes, split

__all__ = ["LIMIT", "Block", "Piece", "Sizes", "blocks_of", "split"]
