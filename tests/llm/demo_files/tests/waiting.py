from rooms.waiting import WaitingList


def the_team_that_used_rooms_least_is_next(busy, idle, now):
    assert WaitingList([busy, idle]).next_team(at=now) == idle
