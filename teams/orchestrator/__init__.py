"""A team at work, one member after the other: whose turn it is, what each is told, and how it ends.

| module    | what it knows                                                  |
|-----------|----------------------------------------------------------------|
| `team`    | the team as a run is pinned to it                              |
| `state`   | what the run's log says of the team's work: a fold, no more    |
| `moves`   | what follows a turn that ended: a function of the two          |
| `telling` | what a member is told when its turn begins                     |
| `program` | what the engine asks (`runs.programs.Program`)                 |
"""
