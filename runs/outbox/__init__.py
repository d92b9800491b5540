"""Telling others what happens: signed webhooks. What is to be told is written with what happened (ADR 14), and sent apart."""
