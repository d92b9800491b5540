"""What an organisation remembers. Every table here lives in the organisation's own schema.

| row            | written by                       | in which transaction |
|----------------|----------------------------------|----------------------|
| Shelf          | writing, forgetting              | with every memory that comes or goes: it is the owner's lock and its statistics |
| Memory         | writing, forgetting              | with its passages |
| Passage        | writing                          | with its memory |
| Words, Term    | index (put, take)                | with the passages they are of: what words find is right at every moment |
| Embedding      | index (put, take), without vector; the embedder fills it | with the passage; the vector in its own |
| Document       | accepting, working, shelving     | its own; `done` with the memory that it became |
| EmbeddingModel | the first write, reembed, the embedder's switch | its own |
| ChangeSet, Change | consolidation: a pass, a decision | with what the decision does to memories |
| ConsolidationPolicy | an admin                   | its own |
"""

from memory.models.change import TRANSITIONS, Change, ChangeSet, ConsolidationPolicy, State
from memory.models.document import Document
from memory.models.embedding import Embedding, EmbeddingModel
from memory.models.memory import Memory, Trust
from memory.models.passage import Passage, Term, Words
from memory.models.shelf import Shelf, Tier

__all__ = [
    "TRANSITIONS",
    "Change",
    "ChangeSet",
    "ConsolidationPolicy",
    "Document",
    "Embedding",
    "EmbeddingModel",
    "Memory",
    "Passage",
    "Shelf",
    "State",
    "Term",
    "Tier",
    "Trust",
    "Words",
]
