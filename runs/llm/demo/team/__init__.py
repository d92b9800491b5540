"""The demo model as a member of a team: it plays its part by the ordinary tools, and says so in the answer.

| module      | what it knows                                                        |
|-------------|----------------------------------------------------------------------|
| `seat`      | who it is in the team, and what its brief tells of the others' work  |
| `citations` | what an answer of its own rests on: sentences with their sources     |
| `member`    | the part of one who finds, or checks, and posts what it found        |
| `lead`      | the part of the one who decides                                      |
"""
