"""What can go wrong with the embedded server."""


class PostgresError(Exception):
    """The embedded server can't be made or started; the message is fit for the person at the terminal."""
