"""Who gets a room that has become free."""

from datetime import timedelta

from rooms.usage import hours_used

OFFER_LASTS = timedelta(minutes=20)
FAIRNESS_WINDOW = timedelta(days=7)


class WaitingList:
    """The teams that wait for a room, and whose turn it is."""

    def __init__(self, teams):
        self.teams = teams

    def next_team(self, *, at):
        """Choose the team that used rooms least within the fairness window; the earliest request wins a tie."""
        since = at - FAIRNESS_WINDOW
        return min(self.teams, key=lambda team: (hours_used(team, since=since), team.asked_at))


def offer(room, team, *, at):
    """Offer a free room to a team, and remember until when."""
    return room.offers.create(team=team, expires_at=at + OFFER_LASTS)
