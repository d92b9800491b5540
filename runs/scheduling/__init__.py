"""Tasks that are given by the clock: who keeps them, when they are due, and how each due time starts one run."""
