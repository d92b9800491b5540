"""A bot at Feishu: a mention is a task, and its thread has the answer.

- `sealing`: what is sealed is opened with the connector's encrypt key, and believed for its signature.
- `events`: an event is taken once, by whoever takes its type; others are let pass.
- `messages`: a message is kept, to be worked on by the `connector` process.
- `talking`: a message becomes a run, and the run's answer a reply; `saying` has the words.
- `people`: who somebody of Feishu is here.
"""
