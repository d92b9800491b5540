"""Approvals as cards at Feishu (ADR 17).

- `finding`: each question that waits gets its cards, once: where its run came from, else before who may decide.
- `keeping`: cards are sent, and say how it went when the question is settled, whoever settled it.
- `pressing`: somebody presses a button; the decision is the same as on the page.
- `drawing`: what a card shows.
"""
