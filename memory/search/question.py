"""What is asked, in the forms in which a search needs it; made once, however many shelves are searched with it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from memory import terms
from memory.embedding.ports import Vector
from memory.embedding.queries import embed_query
from memory.embedding.serving import serving_model
from memory.models import EmbeddingModel
from openintern.errors import Invalid
from openintern.text import storable

#: Characters of a query that are read; what is longer is a document, and its beginning says what it is about.
READ = 20_000


@dataclass(frozen=True)
class Question:
    """A text to answer. Plain text, whatever it holds; its terms and its vector are made when they are first needed.

    Without `vectors`, only its words are looked for. Raises VALIDATION_ERROR where there is nothing in it.
    """

    text: str
    vectors: bool = True

    @classmethod
    def of(cls, query: str, *, vectors: bool = True) -> Question:
        """Read a query as somebody typed it."""
        text = str(storable(query))[:READ]
        if not text.strip():
            raise Invalid("query", "A search needs a query")
        return cls(text, vectors=vectors)

    @cached_property
    def terms(self) -> Counter[str]:
        """Its terms, with how often each stands in it."""
        return terms.counted(self.text)

    @cached_property
    def telling_terms(self) -> frozenset[str]:
        """Those that say something, where any does: what is marked in a hit."""
        return frozenset(term for term in self.terms if term not in terms.SMALL_WORDS) or frozenset(self.terms)

    @cached_property
    def model(self) -> EmbeddingModel | None:
        """The model whose vectors are compared, if any are."""
        return serving_model() if self.vectors else None

    @cached_property
    def vector(self) -> Vector | None:
        """Its vector; None where the model is away."""
        return embed_query(self.text, model=self.model) if self.model else None
