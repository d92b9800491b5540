"""Models: what they are asked and answer (`types`), how to ask one (`ask`), and which there are (`registry`)."""
