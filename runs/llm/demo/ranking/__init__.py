"""Which lines are worth reading, and which of the sentences read come closest to the question.

Windows of lines and sentences are ranked by the same idea: a distinct term counts once, by how rare it is; it counts
in full where it stands, and in part where a heading, a path or a neighbouring line supplies it.
"""
