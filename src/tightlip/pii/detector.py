"""The detector of personal data that nobody has marked: structured values and named entities."""

import functools
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from tightlip.pii.named_entities import entities, load_ner
from tightlip.pii.patterns import structured
from tightlip.pii.spans import Span

if TYPE_CHECKING:
    from spacy.language import Language


class Detector:
    """Finds personal data in texts, each by itself.

    Args:
        spacy_model: name of an installed pipeline or directory of one; it is loaded when first used.
        ignored_labels: entity labels that do not count; the paper ignores CARDINAL, DATE, PRODUCT and ORDINAL.
    """

    def __init__(self, spacy_model: str, ignored_labels: Collection[str] = ()) -> None:
        self.spacy_model, self.ignored_labels = spacy_model, ignored_labels

    @functools.cached_property
    def pipeline(self) -> "Language":
        """The spaCy pipeline; raises as `named_entities.load_ner` does."""
        return load_ner(self.spacy_model)

    def entities(self, texts: Sequence[str]) -> list[list[Span]]:
        """Find the named entities of each text: the paper's count (`named_entities.entities`)."""
        with self.pipeline.memory_zone():  # else spaCy keeps every word that it has ever seen
            return entities(self.pipeline, texts, self.ignored_labels)

    def find(self, texts: Sequence[str]) -> list[list[Span]]:
        """Find structured values, then named entities of each text; the two may overlap."""
        pairs = zip(structured(texts), self.entities(texts), strict=True)
        return [[*shapes, *names] for shapes, names in pairs]
