"""Tidying up what is remembered, as change sets that somebody reviews.

    passes.propose ── finding (duplicates, stale, superseded) ── writers (a merge's text) ──▶ ChangeSet: proposed
                                                deciding.accept | reject ──▶ applying ──▶ accepted | rejected
                                                deciding.roll_back ──▶ applying ──▶ rolled_back

The rules need no model, and find the same in the same memories. A second pass proposes nothing new; a proposal whose
memories changed is refused (CONFLICT) and withdrawn by the next pass. Rolling back restores to the letter.
"""
