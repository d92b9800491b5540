"""What the pages show of memories, made for people's eyes. Nothing here writes."""
