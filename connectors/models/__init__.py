"""What connectors keep: where knowledge comes from, how far its syncs are, what came of each source."""
