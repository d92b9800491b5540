"""PDFs into memory: by MinerU's service where there is a key for it, by our own reader where there is none.

| module               | what it knows                                                    |
|----------------------|------------------------------------------------------------------|
| `asking`             | what is asked for: jobs and their files                          |
| `working`            | the next small step at a file                                    |
| `leases`             | whose a file is                                                  |
| `ending`             | how it ends, and who hears of it                                 |
| `service`            | what the service is asked, and what its answers mean             |
| `archive`, `content` | its zip, judged before it is believed; what that says, as parts  |
"""
