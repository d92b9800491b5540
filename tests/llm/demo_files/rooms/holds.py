"""A hold keeps a room for somebody who is still choosing."""

HOLD_SECONDS = 90


class HoldLost(Exception):
    """The hold ran out, and somebody else may have taken the room."""


def place_hold(room, person, *, at):
    """Keep a room for a person. Raises HoldLost if another hold is on it."""
    if room.held_until and room.held_until > at:
        raise HoldLost(room.name)
    room.held_by, room.held_until = person, at + HOLD_SECONDS


def renew_hold(room, person, *, at):
    """Extend a hold by another 90 seconds. The page calls this every half minute while the form is open."""
    if room.held_by != person:
        raise HoldLost(room.name)
    room.held_until = at + HOLD_SECONDS
