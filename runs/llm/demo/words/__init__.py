"""The two languages: what the model knows of their words, and what it says itself."""
