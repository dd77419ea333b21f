"""Named entities by spaCy: the paper's count of personal data (arXiv 2412.06846, section 2.2).

The only module that imports spaCy, and only when a function is called.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from threadpoolctl import threadpool_limits

from tightlip.pii.spans import Span

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

_UNUSED = ("tagger", "morphologizer", "lemmatizer", "attribute_ruler", "textcat")
_SENTENCES = {"tok2vec", "parser", "senter", "sentencizer"}
"""Components whose only result that `ner` uses is sentence starts."""

_BATCH = 128


def load_ner(model: str) -> "Language":
    """Load an installed spaCy pipeline without the components that never change an entity.

    Args:
        model: name of an installed pipeline package, or the directory of a pipeline.

    Raises:
        ValueError: the pipeline is not installed or has no `ner` component.
    """
    import spacy
    from thinc.api import use_ops

    try:
        # BLIS, which thinc multiplies with, takes its slowest kernels on processors that it does not know.
        with use_ops("numpy", use_blis=False):
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
    return pipeline


def entities(pipeline: "Language", texts: Sequence[str], ignored_labels: Collection[str]) -> list[list[Span]]:
    """Find the named entities of each text whose label counts, as the pipeline finds them in this text alone.

    A continuation starts with the white space that its prompt lacks (the boundary rule). The white space is removed
    first, because a leading space token changes what small pipelines find.

    Args:
        pipeline: from `load_ner`.
        texts: answers without their prompts, each by itself.
        ignored_labels: labels that do not count; the paper ignores CARDINAL, DATE, PRODUCT and ORDINAL.

    Returns:
        Per text its entities in order; spans refer to the text as given.
    """
    distinct = list(dict.fromkeys(text.strip() for text in texts))
    with threadpool_limits(1, user_api="blas"):  # numpy's threads wait for each other longer than they multiply
        spans = {
            text: [(entity.label_, entity.start_char, entity.end_char) for entity in document.ents]
            for text, document in zip(distinct, _read(pipeline, distinct), strict=True)
        }
    counted = []
    for text in texts:
        offset = len(text) - len(text.lstrip())
        counted.append(
            [
                Span(label, offset + start, offset + end, text[offset + start : offset + end])
                for label, start, end in spans[text.strip()]
                if label not in ignored_labels
            ]
        )
    return counted


def _read(pipeline: "Language", texts: Sequence[str]) -> Iterable["Doc"]:
    """Run a pipeline, looking for sentence starts only where they may change an entity.

    `ner` takes the best allowed move at every token, and a sentence start only forbids moves that carry an entity over
    it. So entities found without sentence starts stand unless a start lies inside one of them.
    """
    if not _only_sentences_matter(pipeline):
        return pipeline.pipe(texts, batch_size=_BATCH)  # type: ignore[no-any-return]
    names = pipeline.pipe_names
    documents = [pipeline.make_doc(text) for text in texts]
    _annotate(pipeline.get_pipe("ner"), documents)
    longer = [document for document in documents if any(len(entity) > 1 for entity in document.ents)]
    for name in names[: names.index("ner")]:
        _annotate(pipeline.get_pipe(name), longer)
    return [pipeline(document.text) if _crossed(document) else document for document in documents]


def _annotate(component: Any, documents: Sequence["Doc"]) -> None:
    """Run a component on documents.

    A greedy parser is stepped from here: spaCy's own loop takes and drops Python's lock at every look at a token, and
    takes twice as long for the same moves.
    """
    stepped = hasattr(component, "transition_states") and component.cfg["beam_width"] == 1
    for start in range(0, len(documents), _BATCH):
        batch = documents[start : start + _BATCH]
        if not stepped:
            component.set_annotations(batch, component.predict(batch))
            continue
        states = component.moves.init_batch(batch)
        if going := [state for state in states if not state.is_final()]:
            model = component.model.predict(batch)
        while going:
            going = component.transition_states(going, model.predict(going))
        component.set_annotations(batch, states)


def _only_sentences_matter(pipeline: "Language") -> bool:
    """Whether `ner` is spaCy's greedy one, with an embedding of its own, and all others find at most sentences."""
    factories = {name: pipeline.get_pipe_meta(name).factory for name in pipeline.pipe_names}
    if factories.pop("ner", "") != "ner" or not _SENTENCES.issuperset(factories.values()):
        return False
    return not any(hasattr(node, "upstream_name") for node in pipeline.get_pipe("ner").model.walk())


def _crossed(document: "Doc") -> bool:
    """Whether a sentence starts inside an entity."""
    return any(token.is_sent_start for entity in document.ents for token in entity[1:])
