"""A sync, from being asked for to its end.

    pending → running: listing → reading → removing → completed
                       └── failed, with the reason as a code

- `asked.ask`: the door for people, polls and commands; one sync of a connector at a time.
- `leases`: who works on a sync, how long without a word, what somebody else writes meanwhile: nothing.
- `discovering`, `fetching`, `removing`: the three phases, each in small steps that are rows when they are done.
- `working`: claims a sync, works a slice of it, hands it back; `manage.py connector` does nothing else.
- `polling`: asks for what is due, by the clock.
"""
