"""Sites to reach, or not."""

from tests.peers.site import allow, serve  # noqa: F401  fixtures
