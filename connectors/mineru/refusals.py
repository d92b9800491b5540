"""What can go wrong with a PDF, by the codes that are told."""

from __future__ import annotations


class Refused(Exception):
    """It can't be had, now or later; `code` is what is told, the message is fit for whoever asked."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Busy(Exception):
    """The service didn't answer, or asked for patience: the same step is worth another try."""
