"""What the pages show of runs: readings of the event log, made for people's eyes. Nothing here writes."""
