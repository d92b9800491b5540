"""A group's board, and what it is remembered as.

| module     | what it does                                                             |
|------------|--------------------------------------------------------------------------|
| `entries`  | writes, changes and removes entries, each with its memory; asks nobody whether that may be |
| `speaking` | what a member says in a run: checked against the team that the run is pinned to |
| `ending`   | what a run leaves on the board when it ends                              |
| `keeping`  | what people do: read, add, correct, pin, remove                          |
"""
