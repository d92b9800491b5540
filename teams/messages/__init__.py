"""What the members of a team say to each other: tools with schemas, each an event `message.*` of the run's log."""
