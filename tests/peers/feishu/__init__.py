"""A Feishu on loopback: real paths, paging, codes and tokens; it can hold, cut, lie, and change while it is read.

What an entry of each answer looks like is in `shapes.json`, by the path that answers so: whoever has an account holds
it against what their own answers hold.
"""

from tests.peers.feishu.server import Feishu, feishu_peer
from tests.peers.feishu.world import block, heading, table_blocks, text

__all__ = ["Feishu", "block", "feishu_peer", "heading", "table_blocks", "text"]
