"""What was read: cut into blocks that can be quoted and sentences that can answer."""
