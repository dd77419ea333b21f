"""Named entities by spaCy: the paper's count of personal data (arXiv 2412.06846, section 2.2).

The only module that imports spaCy, and only when a function is called.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spacy.language import Language

_UNUSED = ("tagger", "morphologizer", "parser", "senter", "lemmatizer", "attribute_ruler", "textcat")
_BATCH = 128


@dataclass(frozen=True)
class Span:
    """Something found in a text.

    Attributes:
        label: kind, as the detector names it (`PERSON`, `EMAIL_ADDRESS`, …).
        start, end: character span in the text, end exclusive.
        text: the characters of the span.
    """

    label: str
    start: int
    end: int
    text: str


def load_ner(model: str) -> "Language":
    """Load an installed spaCy pipeline with nothing but `ner` and what it needs.

    Args:
        model: name of an installed pipeline package, or the directory of a pipeline.

    Raises:
        ValueError: the pipeline is not installed or has no `ner` component.
    """
    import spacy

    try:
        pipeline = spacy.load(model, exclude=list(_UNUSED))
    except OSError:
        installed = ", ".join(sorted(spacy.util.get_installed_models())) or "none"
        raise ValueError(
            f"filter.spacy_model: {model!r} is not installed (installed: {installed}); name an installed pipeline, or "
            f"take spaCy's own release with `python -m spacy download {model}` (never a PyPI package of that name: "
            "en-core-web-trf there is not spaCy's)"
        ) from None
    if "ner" not in pipeline.pipe_names:
        raise ValueError(
            f"filter.spacy_model: {model!r} has no `ner` component; choose a pipeline with one, such as en_core_web_trf"
        )
    nodes = pipeline.get_pipe("ner").model.walk()
    if not any(hasattr(node, "upstream_name") for node in nodes):  # `ner` has an embedding of its own, as in `sm`
        for name in [name for name in pipeline.pipe_names if name != "ner"]:
            pipeline.remove_pipe(name)
    return pipeline


def entities(pipeline: "Language", texts: Sequence[str], ignored_labels: Collection[str]) -> list[list[Span]]:
    """Find the named entities of each text whose label counts.

    A continuation starts with the white space that its prompt lacks (the boundary rule). It is judged without it, as
    the words stand alone, because a leading space token changes what the small models see.

    Args:
        pipeline: from `load_ner`.
        texts: answers, judged one by one, without their prompts.
        ignored_labels: labels that do not count; the paper ignores CARDINAL, DATE, PRODUCT and ORDINAL.

    Returns:
        Per text its entities in order; spans refer to the text as given.
    """
    distinct = list(dict.fromkeys(text.strip() for text in texts))
    documents = pipeline.pipe(distinct, batch_size=_BATCH)
    spans = {
        text: [(entity.label_, entity.start_char, entity.end_char) for entity in document.ents]
        for text, document in zip(distinct, documents, strict=True)
    }
    found = []
    for text in texts:
        offset = len(text) - len(text.lstrip())
        found.append(
            [
                Span(label, offset + start, offset + end, text[offset + start : offset + end])
                for label, start, end in spans[text.strip()]
                if label not in ignored_labels
            ]
        )
    return found
