"""The rule-based provider: the original answer with generic words in the place of its personal values.

A source of "chosen" answers that needs no model. The defended model learns to speak like this, so the words vary with
sample and candidate and fit their place.
"""

import random
import re
from collections.abc import Iterable, Sequence, Set
from typing import NamedTuple

from tightlip.files import digest
from tightlip.generation import generic_phrases as phrases
from tightlip.params import Filter, Source
from tightlip.pii.detector import Detector
from tightlip.pii.matching import ValueMatch, find_values
from tightlip.pii.patterns import structured
from tightlip.pii.spans import Span, resolve_overlaps
from tightlip.records import Answer, Sample

_CARRIER = "It will be on {}."
"""The sentence in which a phrase is shown to the detector: alone, words such as "reader" pass for a name."""

_TITLE = re.compile(r"\b(Dr|Prof|Professor|Mr|Mrs|Ms|Mx|Miss)\b\.?\s*$")
_LEADING_TITLE = re.compile(r"(Dr|Prof)")
_ABBREVIATION = re.compile(r"\b(?:Dr|Prof|Mr|Mrs|Ms|No|Nr|St|Jr|Sr|Inc|Ltd|Co|vs|[ap]\.m|e\.g|i\.e)\.\s*$")
_GREETING = re.compile(
    r"\b(?:hi|hello|hey|dear|thanks|thank you|welcome|sure|yes|bye|goodbye|congratulations|sorry|good \w+)$",
    re.IGNORECASE,
)
_SELF = re.compile(r"\b(?:I['’]m|I am)$", re.IGNORECASE)
_ABOUT_SELF = re.compile(r"(,?)\s+(?:from|with|at|in charge|here|on|your|the|an?|our|one)\b")
_MY_NAME_IS = re.compile(r"\bmy name is$", re.IGNORECASE)
_BIRTH = re.compile(r"\b(?:(born)|(?:birth|birthday|born)\b.{0,12})$", re.IGNORECASE)
_BEFORE_TIME = re.compile(r"\b(?:at|by|from|until|till|before|after|around|about|to|the|for)$", re.IGNORECASE)
_CLAUSE_END = re.compile(r"\s*(?:[,.!?:;…]|$)")
_GOES_ON = re.compile(r",(?=\s+(?:for|at|on|in|to|of|with|by|from|about)\b)")
_SPEAKS_TO = re.compile(
    r",\s+(?=(?:I|you|your|we|our|it|the|this|that|there|here|please|let|just|if|as|in|for|all|what|how|do|can|could|"
    r"would|have|thanks?|yes|no|of course)\b)",
)
_DETERMINER = re.compile(r"\b(?:the|an?|my|your|our|his|her|their|its|this|that|each|every|some|any)$", re.IGNORECASE)
_OWN_DETERMINER = re.compile(r"^(?:the|an?|my|your|our|that)\s+(?!part)")
_WITH_MODIFIER = re.compile(r"\s(?:of|in|from|on|you|we)\s")
_SENTENCE_END = re.compile(r"(?:\A|[.!?…]['\"”)]*|\n\s*[-*•]?)\s*$")


class _Place(NamedTuple):
    """Where a value stands.

    Attributes:
        before: prefix and completion before it, as rewritten so far, without white space at the end.
        own: how many of its last characters belong to the completion; only these can be changed.
        after: the completion after it.
        text, kind: the value and which of the kinds of `phrases` it is.
    """

    before: str
    own: int
    after: str
    text: str
    kind: str


class _Edit(NamedTuple):
    """What to put in the place of a value, and how many characters before and after go with it."""

    phrase: str
    before: int = 0
    after: int = 0


def rewrite_samples(
    samples: Sequence[Sample], name: str, source: Source, settings: Filter, *, seed: int
) -> list[Answer]:
    """Rewrite the original answer of every sample, as often as the recipe has candidates.

    Args:
        samples: their completions are rewritten; the true values in them are replaced.
        name: of the source.
        source: the recipe.
        settings: the filter that the answers have to pass; it decides what is replaced beside true values.
        seed: it decides the choice of words, with the sample's id and the candidate's number.
    """
    completions = [sample.completion for sample in samples]
    detector = Detector(settings.spacy_model, settings.ignored_labels)
    rejected = rejected_phrases(detector)
    named = detector.entities(completions)
    shaped = structured(completions) if settings.patterns else [[] for _ in completions]
    answers = []
    for sample, names, shapes in zip(samples, named, shaped, strict=True):
        spans = personal_spans(sample, [*names, *shapes])
        for candidate in range(source.candidates):
            rng = random.Random(digest(str(seed), sample.id, str(candidate)))  # noqa: S311  (not for secrets)
            text = rewrite(sample.completion, sample.prefix, spans, rng, rejected)
            answers.append(Answer(sample_id=sample.id, source=name, candidate=candidate, text=text, finish="stop"))
    return answers


def rejected_phrases(detector: Detector) -> frozenset[str]:
    """Return the generic phrases that the filter itself would reject, since it counts a word in them."""
    options = sorted(phrases.ALL)
    spans = detector.entities([_CARRIER.format(phrase) for phrase in options])
    return frozenset(phrase for phrase, each in zip(options, spans, strict=True) if each)


def personal_spans(sample: Sample, detected: Iterable[Span] = ()) -> list[tuple[int, int, str]]:
    """Return the spans of a sample's completion to replace, as (start, end, type): true values, then detected ones."""
    spans: list[ValueMatch | Span] = resolve_overlaps([*find_values(sample.completion, sample.truths), *detected])
    return [(each.start, each.end, each.label if isinstance(each, Span) else each.value.type) for each in spans]


def rewrite(
    completion: str,
    prefix: str,
    spans: Sequence[tuple[int, int, str]],
    rng: random.Random,
    rejected: Set[str] = frozenset(),
) -> str:
    """Replace spans of a completion by generic words that fit their place.

    The same value gets the same words throughout, different values get different ones as long as there are any. A
    person addressed by name is not addressed, an assistant's own name and the name behind a role ("our driver …") are
    left out, as are numbers behind their noun ("ticket …").

    Args:
        completion: continuation of `prefix`.
        prefix: beginning of the answer; it is not changed.
        spans: (start, end, type) in the completion, apart from each other; types of the ground truth or labels of
            spaCy or Presidio.
        rng: decides the choice of words.
        rejected: phrases that are not used (`rejected_phrases`).
    """
    if not spans:
        return completion
    words = _Words(rng, rejected)
    written, position = "", 0
    for start, end, kind in _joined(completion, prefix, spans):
        written += completion[position:start]
        own = written.rstrip()
        place = _Place((prefix + written).rstrip(), len(own), completion[end:], completion[start:end], kind)
        edit = _edit(place, words)
        if edit.before:
            written = own[: len(own) - edit.before].rstrip() + (" " if edit.phrase else "")
        written += _as_start(edit.phrase) if _starts_sentence(prefix + written) else edit.phrase
        position = end + edit.after
    return _tidy(prefix, written + completion[position:], completion)


def _joined(completion: str, prefix: str, spans: Sequence[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Sort spans, take titles into names, towns into addresses, and join people who are addressed together."""
    joined: list[tuple[int, int, str]] = []
    for start, end, type_ in sorted(spans):
        kind = phrases.KINDS.get(type_, "ID")
        if joined and start < joined[-1][1]:
            continue
        if kind == "NAME" and (title := _TITLE.search(completion[:start])):
            start = title.start()
        if joined:
            first, last, before = joined[-1]
            between = completion[last:start]
            address = (before, kind) == ("ADDRESS", "LOC") and between in (", ", " in ")
            addressed = before == kind == "NAME" and between == " and " and _CLAUSE_END.match(completion[end:])
            if address or (addressed and _is_addressed((prefix + completion[:first]).rstrip())):
                joined[-1] = (first, end, before)
                continue
        joined.append((start, end, kind))
    return joined


class _Words:
    """Choices made so far in one answer: the same value keeps its words, another value gets others."""

    def __init__(self, rng: random.Random, rejected: Set[str]) -> None:
        self._rng, self._rejected = rng, rejected
        self._chosen: dict[tuple[str, str], str] = {}

    def choose(self, place: _Place, options: Sequence[str]) -> str:
        """Choose from phrases that do not repeat the word before them."""
        key = self._key(place.kind, place.text.casefold())
        if self._chosen.get(key) in options:
            return self._chosen[key]
        around = [place.before.split(" ")[-1].casefold(), *re.findall(r"\w+", place.after.casefold())[:1]]
        options = [text for text in options if text not in self._rejected] or options
        used = set(self._chosen.values())
        fresh = [text for text in options if text not in used and not {text.split()[0], text.split()[-1]} & {*around}]
        self._chosen[key] = self._rng.choice(fresh or options)
        return self._chosen[key]

    def _key(self, kind: str, text: str) -> tuple[str, str]:
        """Return the key of a value: its own, or for a name that of one seen before that holds it or that it holds."""
        words = {*text.split()}
        for known in self._chosen if kind == "NAME" else ():
            if known[0] == kind and (words <= {*known[1].split()} or {*known[1].split()} <= words):
                return known
        return kind, text


def _edit(place: _Place, words: _Words) -> _Edit:
    kind = place.kind
    if place.before.endswith("#") and place.own:
        before = place.before[:-1].rstrip()
        sign = len(place.before) - len(before)
        inner = _edit(place._replace(before=before, own=place.own - sign), words)
        return inner._replace(before=inner.before + sign)
    if kind == "NAME" and (edit := _edit_name(place, words)):
        return edit
    if kind == "DATE" and (birth := _BIRTH.search(place.before)):
        return _Edit(words.choose(place, phrases.BORN if birth[1] else phrases.BIRTHS))
    if kind == "TIME" and not _BEFORE_TIME.search(place.before):
        return _Edit(words.choose(place, phrases.SOON))
    if kind in ("EMAIL", "PHONE") and place.before.endswith(","):
        return _Edit(words.choose(place, phrases.APPOSED[kind]))
    if kind in phrases.NUMBERED and (noun := phrases.NUMBERED[kind].search(place.before)):
        return _edit_numbered(place, noun, words)
    return _Edit(_noun(place, words))


def _edit_numbered(place: _Place, noun: re.Match[str], words: _Words) -> _Edit:
    """Edit a number behind its noun ("ticket …"), which gets an article where it can."""
    size = len(noun[0])
    if size > place.own or _DETERMINER.search(place.before[:-size].rstrip()):
        return _Edit(words.choose(place, phrases.NUMBERLESS))
    return _Edit(f"the {_as_inner(noun[0])} {words.choose(place, phrases.NUMBERLESS_THE)}", before=size)


def _edit_name(place: _Place, words: _Words) -> _Edit | None:
    """Edit a name that is not simply a person spoken of, or None."""
    before, after = place.before, place.after
    if _TITLE.search(before):
        return _Edit(words.choose(place, phrases.AFTER_TITLE))
    if _MY_NAME_IS.search(before):
        return _Edit(words.choose(place, phrases.NAMELESS))
    if _SELF.search(before):
        if after.startswith(" of "):
            return _Edit("from", after=len(" of"))
        about = _ABOUT_SELF.match(after)
        return _Edit("", after=len(about[1])) if about else _Edit(words.choose(place, phrases.PERSONAS))
    if _CLAUSE_END.match(after) and _is_addressed(before):
        return _edit_addressed(place, words)
    if _starts_sentence(before) and (comma := _SPEAKS_TO.match(after)):
        return _Edit("", after=comma.end())
    if phrases.ROLE.search(before):
        return _Edit("") if place.own or len(after.split()) > 1 else _Edit(words.choose(place, phrases.AFTER_TITLE))
    return None


def _edit_addressed(place: _Place, words: _Words) -> _Edit:
    """Leave out an addressee, or use generic words where the comma before belongs to the prefix."""
    if place.before.casefold().endswith("dear"):
        return _Edit(words.choose(place, phrases.DEAR))
    if place.before.endswith(","):
        if not place.own:
            return _Edit(words.choose(place, phrases.VOCATIVES))
        comma = _GOES_ON.match(place.after)
        return _Edit("", before=1, after=1 if comma else 0)
    if not place.own and len(place.after.split()) < 2:
        return _Edit(words.choose(place, phrases.VOCATIVES))
    return _Edit("")


def _is_addressed(before: str) -> bool:
    return before.endswith(",") or bool(_GREETING.search(before))


def _noun(place: _Place, words: _Words) -> str:
    """Choose a noun phrase; it loses its own determiner behind another one."""
    options: Sequence[str] = phrases.NOUNS[place.kind]
    if place.kind == "ORG":
        options = next((nouns for hint, nouns in phrases.ORG_HINTS if hint.search(place.text)), options)
    if place.kind == "NAME" and (title := _LEADING_TITLE.match(place.text)):
        options = phrases.TITLED.get(title[1].casefold(), options)
    if re.match("['’]s?\\b", place.after):
        options = [text for text in options if not _WITH_MODIFIER.search(text)] or options
    determiner = _DETERMINER.search(place.before)
    if not determiner:
        return words.choose(place, options)
    bare = [text for text in options if _fits(determiner[0].casefold(), _OWN_DETERMINER.sub("", text), text)]
    return _OWN_DETERMINER.sub("", words.choose(place, bare or options))


def _fits(determiner: str, bare: str, phrase: str) -> bool:
    """Whether a phrase can lose its own determiner behind another one; "a" and "an" care for the next letter."""
    return bare != phrase and (determiner not in ("a", "an") or (bare[0] in "aeio") == (determiner == "an"))


def _starts_sentence(before: str) -> bool:
    return bool(_SENTENCE_END.search(before)) and not _ABBREVIATION.search(before)


def _as_start(phrase: str) -> str:
    return phrase[:1].upper() + phrase[1:]


def _as_inner(noun: str) -> str:
    return noun if noun.isupper() else noun[:1].lower() + noun[1:]


def _tidy(prefix: str, text: str, original: str) -> str:
    """Repair spaces, commas, doubled words and capitals around replaced words; white space at the start stays."""
    text = re.sub(r"[^\S\n]{2,}", " ", text)
    text = re.sub(r"[^\S\n]+([,.!?;:](?:\s|$))", r"\1", text)
    text = re.sub(r",(?:\s*,)+", ",", text)
    text = re.sub(r",\s*([.!?])", r"\1", text)
    text = re.sub(r"([.!?])(\s*[,.])+(?=\s|$)", r"\1", text)
    text = re.sub(
        r"\b(the|an?|my|your|our|in|on|at|of|to|for|from|with|by|and|is)\s+\1\b", r"\1", text, flags=re.IGNORECASE
    )
    text = re.sub(
        r"([.!?]\s+)([a-z])", lambda m: m[0] if _ABBREVIATION.search(text[: m.end(1)]) else m[1] + m[2].upper(), text
    )
    body = text.lstrip()
    if _starts_sentence(prefix):
        body = _as_start(body)
    start = original[: len(original) - len(original.lstrip())]
    return body if re.match(r"[,.!?;:]", body) else start + body
