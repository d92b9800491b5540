"""What `/health` and `doctor` ask about runs."""
