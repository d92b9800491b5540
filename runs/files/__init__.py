"""Files that people send along with a task: kept, told apart by their content, and shown to models."""
