"""Surrogates in the place of personal values: what leaves this machine, and the way back.

Every word of a value has one surrogate of its kind throughout a conversation, so that "Anna Bell", "Anna" and
"anna.bell@…" stay one person: names become names, months months, digits digits, and what stands between the words
stays. The surrogates are drawn from the dialogue's id and the word's number, never from the word itself: whoever reads
them cannot try out which value would have led to them.

Both directions look for values by `matching.find_values`, by which leaks are judged. What is masked is checked: no
true value is found in it, and it comes back to the last character; if not, other surrogates are drawn.
"""

import functools
import importlib
import random
import re
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence, Set

from tightlip.files import digest
from tightlip.pii.matching import ORDINARY, TITLES, WORD, find_values
from tightlip.pii.patterns import structured
from tightlip.records import Value

GENERIC = TITLES | frozenset(
    WORD.findall("""
        a am an and at by de in la le los of on pm the to
        apartment apt avenue ave boulevard blvd building court ct drive dr floor highway lane ln place plaza road rd
        square st street suite terrace unit way
        academy agency air airlines airways assurance bank bistro center centre church clinic college credit energy
        estates foods gardens grill group hall health holdings homes hospital hotel inn institute insurance jet
        kitchen lettings logistics market medical mutual partners pavilion pharmacy primary property restaurant
        robotics savings school services software solutions sons store suites systems trading trust union university
        villa works brothers co com company corp edu gmbh gov inc limited llc ltd net org plc www http https
        example gmail hotmail icloud outlook yahoo
    """)
)
"""Words of values that say nothing about whose they are; they stay, unless a value has no others."""

_LISTS = tuple(
    tuple(text.split())
    for text in (
        "January February March April May June July August September October November December",
        "Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec",
        "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
        "Mon Tue Wed Thu Fri Sat Sun",
    )
)
_LISTED = {word.casefold(): words for words in _LISTS for word in words}
_CONSONANTS = "BCDFGHJKLMNPQRSTVWXZ"  # no vowel, so that a code becomes no word
_LOCALES = ("de_DE", "fi_FI", "it_IT", "nl_NL", "sv_SE")
_TWO_DIGITS = {"DATE": (10, 12), "TIME": (10, 23)}
_SEPARATE = 4  # letters and digits from which a word is looked for by itself, outside of values
_DRAWS, _ATTEMPTS = 200, 20


def words(text: str) -> set[str]:
    """Return the words of a text, casefolded."""
    return {word.casefold() for word in WORD.findall(unicodedata.normalize("NFKC", text))}


class Pseudonyms:
    """The surrogates of one conversation.

    Args:
        texts: all that will be masked; structured values in them get surrogates too.
        truths: true values of the dialogue.
        private: casefolded words of the true values of all dialogues; no surrogate is one of them, as far as words of
            their kind are not used up (months, short numbers).
        seed: decides the surrogates; one per dialogue, so that all of its requests have the same.

    Raises:
        ValueError: the values cannot be replaced.
    """

    def __init__(self, texts: Sequence[str], truths: Sequence[Value], private: Set[str], seed: str) -> None:
        known = {value.value for value in truths}
        shaped = [Value(type=span.label.removesuffix("_ADDRESS"), value=span.text)
                  for spans in structured(texts) for span in spans if span.text not in known]  # fmt: skip
        # Names first: their capitals are the ones that the way back restores.
        self._values = sorted(dict.fromkeys([*truths, *shaped]), key=lambda value: value.type != "NAME")
        used = frozenset(word for text in texts for word in words(text))
        for attempt in range(_ATTEMPTS):
            self._draw = _Draw(digest(seed, str(attempt)), used, private)
            self._words: dict[str, str] = {}
            self._back: dict[str, str] = {}
            self._pieces: dict[str, str] = {}
            self._originals: dict[str, str] = {}
            self._surrogates: dict[Value, str] = {}
            if self._replaceable() and all(self._holds(text) for text in texts):
                return
        raise ValueError(
            f"dialogue {seed}: no surrogates can be found for its values; correct its entities or leave it out"
        )

    def mask(self, text: str) -> str:
        """Replace true values by surrogates."""
        return self._replace(text, self._values, self._disguise, self._separate(self._words, self._back))

    def unmask(self, text: str) -> str:
        """Replace surrogates, their parts and other spellings of them by the true values."""
        back = self._separate(self._back, self._words)
        return self._replace(text, list(self._surrogates), self._reveal, back)

    def _replace(
        self, text: str, values: Sequence[Value], replace: Callable[[str, Value], str], separate: Mapping[str, str]
    ) -> str:
        """Replace values, and between them words that stand for one by themselves."""

        def between(start: int, end: int) -> str:
            return WORD.sub(lambda match: separate.get(match[0], match[0]), text[start:end])

        written, place = "", 0
        for match in find_values(text, values):
            written += between(place, match.start) + replace(text[match.start : match.end], match.value)
            place = match.end
        return written + between(place, len(text))

    def _replaceable(self) -> bool:
        """Draw a surrogate for every value."""
        return all(self._disguise(value.value, value) for value in self._values)

    def _holds(self, text: str) -> bool:
        masked = self.mask(text)
        return self.unmask(masked) == text and not find_values(masked, self._values)

    def _disguise(self, piece: str, value: Value) -> str:
        """Return the surrogate of a spelling of a value; one that is not made of its words gets one of its own."""
        if piece not in self._pieces:
            surrogate = self._by_words(piece, value) if self._is_plain(piece, value) else self._invented(value)
            if surrogate in self._originals or surrogate == piece:
                surrogate = self._invented(value)
            self._pieces[piece], self._originals[surrogate] = surrogate, piece
            self._surrogates[Value(type=value.type, value=surrogate)] = piece
        return self._pieces[piece]

    def _is_plain(self, piece: str, value: Value) -> bool:
        """Whether a spelling consists of known words, written as usual."""
        if piece == value.value:
            return _is_usual(piece)
        unchanged = _unchanged_words(value)
        return _is_usual(piece) and all(
            word.casefold() in self._words or word.casefold() in unchanged for word in WORD.findall(piece)
        )

    def _by_words(self, piece: str, value: Value) -> str:
        unchanged = _unchanged_words(value)

        def word(match: re.Match[str]) -> str:
            key = match[0].casefold()
            if key in unchanged and key not in self._words:
                return match[0]
            if key not in self._words:
                self._words[key] = self._draw.word(match[0], value, first=match.start() == 0)
                self._back[self._words[key].casefold()] = match[0]
            return _like(self._words[key], match[0])

        return WORD.sub(word, piece)

    def _invented(self, value: Value) -> str:
        """Draw a surrogate with no word in common with others."""
        unchanged = _unchanged_words(value)
        return WORD.sub(
            lambda m: m[0] if m[0].casefold() in unchanged else self._draw.word(m[0], value, first=m.start() == 0),
            unicodedata.normalize("NFKC", value.value),
        )

    def _reveal(self, piece: str, surrogate: Value) -> str:
        """Return what a spelling of a surrogate stands for."""
        if piece in self._originals:
            return self._originals[piece]
        unchanged = _unchanged_words(surrogate)
        keys = [word.casefold() for word in WORD.findall(piece)]
        if all(key in self._back or key in unchanged for key in keys):
            return WORD.sub(lambda m: _like(self._back.get(m[0].casefold(), m[0]), m[0]), piece)
        return self._surrogates[surrogate]

    @staticmethod
    def _separate(table: Mapping[str, str], back: Mapping[str, str]) -> dict[str, str]:
        """Return the words of a table that are replaced by themselves, as they are and in capitals."""
        separate: dict[str, str] = {}
        for key, word in table.items():
            own = back[word.casefold()]
            if _stands_alone(key) and _stands_alone(word.casefold()):
                separate |= {own: word, own.upper(): word.upper()}
        return {own: word for own, word in separate.items() if not own.islower()}


class _Draw:
    """Draws surrogates of words, each from a generator of its own: to draw one again does not change the next."""

    def __init__(self, seed: str, used: Collection[str], private: Collection[str]) -> None:
        self._seed, self._used, self._private = seed, used, private
        self._drawn: set[str] = set()
        self._number = 0

    def word(self, word: str, value: Value, *, first: bool) -> str:
        """Draw a surrogate of a word of a value, `first` if it begins with it."""
        rng = random.Random(digest(self._seed, str(self._number)))  # noqa: S311  (not for secrets)
        self._number += 1
        drawn = word
        for _ in range(_DRAWS):
            drawn = _drawn(word, value, rng, first)
            key = drawn.casefold()
            free = key not in self._used and key not in self._drawn and key != word.casefold()
            if free and not (_stands_alone(key) and key in self._private):
                break
        self._drawn.add(drawn.casefold())
        return drawn


def _drawn(word: str, value: Value, rng: random.Random, first: bool) -> str:
    """Draw a word of the same kind."""
    if listed := _LISTED.get(word.casefold()):
        return rng.choice(listed)
    if re.fullmatch(r"\d{1,2}(?:st|nd|rd|th)", word.casefold()):
        return f"{rng.randint(4, 20)}th"
    if word.isdecimal():
        return _digits(word, value, rng)
    if any(char.isdecimal() for char in word) or (len(word) < _SEPARATE and word.isupper()):
        return "".join(_character(char, rng) for char in word)
    if value.type == "LOC" and first:
        return rng.choice(_pool("cities"))
    return rng.choice(_pool("first_names" if value.type == "NAME" and first else "last_names"))


def _digits(word: str, value: Value, rng: random.Random) -> str:
    if value.type == "DATE" and len(word) == 4:
        return str(rng.randint(1940, 2023))
    if value.type in _TWO_DIGITS and len(word) == 2 and word[0] != "0":
        low, high = _TWO_DIGITS[value.type]
        named = any(other.casefold() in _LISTED for other in WORD.findall(value.value))
        return str(rng.randint(low, 28 if named else high))
    first = "0" if word[0] == "0" else rng.choice("123456789")
    return first + "".join(rng.choice("0123456789") for _ in word[1:]) if len(word) > 1 else rng.choice("123456789")


def _character(char: str, rng: random.Random) -> str:
    if char.isdecimal():
        return rng.choice("0123456789")
    letter = rng.choice(_CONSONANTS)
    return letter.lower() if char.islower() else letter


@functools.cache
def _pool(kind: str) -> tuple[str, ...]:
    """Names and places of countries whose own names are rare in English texts, none of them an English word."""
    names: set[str] = set()
    for locale in _LOCALES:
        module = importlib.import_module(f"faker.providers.{'address' if kind == 'cities' else 'person'}.{locale}")
        names |= {name for name in getattr(module.Provider, kind, ()) if re.fullmatch(r"[A-Z][a-z]{4,11}", name)}
    return tuple(sorted(name for name in names if name.casefold() not in ORDINARY | GENERIC))


def _unchanged_words(value: Value) -> Set[str]:
    """Return the words of a value that stay: generic ones, and small ones among others ("van der").

    In a date, words that are no month and no number stay too. A value of such words alone keeps none.
    """
    own_words = WORD.findall(unicodedata.normalize("NFKC", value.value))
    unchanged = {word.casefold() for word in own_words if word.casefold() in GENERIC or _is_small(word, value)}
    return unchanged if len(unchanged) < len({word.casefold() for word in own_words}) else frozenset()


def _is_small(word: str, value: Value) -> bool:
    key = word.casefold()
    if key in _LISTED or not word.isalpha():
        return False
    return value.type in _TWO_DIGITS or (word.islower() and " " in value.value.strip() and "@" not in value.value)


def _is_usual(piece: str) -> bool:
    marks = any(unicodedata.category(char) in ("Cf", "Mn", "Mc", "Me") for char in piece)
    return not marks and unicodedata.is_normalized("NFKC", piece)


def _stands_alone(key: str) -> bool:
    return len(key) >= _SEPARATE and key not in ORDINARY | GENERIC and key not in _LISTED


def _like(word: str, model: str) -> str:
    """Write a word with the capitals of another."""
    if model.islower():
        return word.lower()
    return word.upper() if model.isupper() and len(model) > 1 else word
