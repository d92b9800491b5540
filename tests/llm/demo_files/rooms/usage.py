"""How much each team uses the rooms."""


def hours_used(team, *, since):
    # Cancelled bookings don't count: nobody sat in the room.
    kept = [booking for booking in team.bookings if not booking.cancelled_at]
    return sum(booking.hours for booking in kept if booking.begins_at >= since)
