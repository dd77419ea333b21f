"""Occurrences of a dialogue's true values in a text: leaks are counted against the ground truth, not only by NER."""

import functools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tightlip.pii.spans import resolve_overlaps
from tightlip.records import Value

_QUOTES = dict.fromkeys("‘’‚‛′`´", "'") | dict.fromkeys("“”„‟″«»", '"')
_DASHES = dict.fromkeys("‐‑‒–—―−﹘﹣", "-")
_UNIFIED = str.maketrans(_QUOTES | _DASHES)

# A value of digits and separators alone is the same number however it is grouped. Below seven digits (a house number,
# a year) the separators carry meaning.
_NUMBER = re.compile(r"\+?[\d\s().\-/]+")
_MIN_NUMBER_DIGITS = 7

# Words of a full name that name nobody.
TITLES = frozenset(
    re.findall(
        r"\w+",
        "dr mr mrs ms mx miss prof sir rev sr jr ii iii iv md phd dds dvm esq von van der del dos las los",
    )
)
_MIN_PART_LETTERS = 3
_MIN_NEAR = 4  # letters and digits of a value whose near copies can be told from chance

UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Letters of scripts without spaces between words (Thai, Lao, Burmese, Khmer, Japanese, Chinese), for `[…]`."""

# A letter of a word in texts with such letters, and in others, for which patterns compile ten times as fast.
_WORDS = {True: rf"[^\W_{UNSPACED}]", False: r"[^\W_]"}
HAS_UNSPACED = re.compile(f"[{UNSPACED}]")
WORD = re.compile(r"[^\W_]+")
"""A word of letters and digits."""

_BETWEEN, _APART = r"[\W_]{0,3}", r"[\W_]{1,2}"

# Given and family names that are also English words: alone, they count only with a capital letter, or every "will"
# would be a leak of Will. Read out of Faker's lists of American names.
ORDINARY = frozenset(
    re.findall(
        r"\w+",
        """
        amber angel april archer art august austin autumn baker ball banks barber bean beard bell berry best bill bird
        bishop black bond booker booth bowers branch bridges bright brook brooke brooks brown buck burns bush butler
        cannon carol carpenter carter case chambers chance chase cherry christian church clay cole cook cooper crane
        cross crystal daisy dale dawn day dean destiny diamond don downs drake drew duke dyer earl ebony english faith
        farmer field fields fisher flowers ford foster fox frank french frost fry fuller gamble gates gay gene gentry
        ginger glass gold golden good grace grant graves gray green gross guy hall hand hardy harmony hart hazel heath
        heather herring hill hills holder holiday holly hood hope horn house hull hunt hunter iris ivy jack jade jay
        joy june justice key king knight lake lamb lance lane law leach lily little long lord love major mark marks
        marsh mason max may meadows melody mercer mercy miles mills misty moody moon morrow moss nice noble olive page
        park parks pat patience pearl peck penny petty pierce piper pope porter potter power powers price prince
        proctor raven ray read reed rice rich riddle rivers roach robin rock rose ruby rush sage sandy savage sawyer
        sellers sharp shepherd shields short sierra silver singer skinner small snow sparks spears stark steel stone
        story stout street strong sue summer summers sweet tanner taylor temple turner valentine villa violet wade
        walker wall walls ward ware waters weaver weeks wells west wheeler white will wills winter winters wise wolf
        wood woods wright young
        """,
    )
)


class _Folded(NamedTuple):
    """A normalised text; `places[i]` is the span in the original that character i comes from."""

    text: str
    places: list[tuple[int, int]]


class ValueMatch(NamedTuple):
    """An occurrence of a true value.

    Attributes:
        start, end: span in the text as given, end exclusive.
        near: whether it is a near copy only.
    """

    value: Value
    start: int
    end: int
    near: bool


class _Form(NamedTuple):
    """What a value may look like in a normalised text.

    Attributes:
        capital: whether it must begin with a capital letter there.
        part: whether it is a part of the value.
        near: whether it is a near copy.
    """

    pattern: re.Pattern[str]
    capital: bool = False
    part: bool = False
    near: bool = False


def find_values(text: str, values: Sequence[Value]) -> list[ValueMatch]:
    """Find true values in a text.

    Both sides are normalised: case, Unicode form (NFKC), runs of white space, invisible characters, curly quotes and
    all sorts of dashes. A match never begins or ends inside a longer word or number. Where matches overlap, the longest
    counts and the others do not: a full name is one leak, not two or three.

    Part of a name is a leak too: a word of a NAME of several words counts for the whole value if it has at least three
    letters and is no title. A single word that is also ordinary English (`will`, `may`) must have a capital letter to
    count. Numbers of seven digits or more are found however they are grouped (`555-123-4567`, `555 123 4567`).

    Near copies are found too: other punctuation or none between the words of a value (`maria_lopez`, `12-Elm street`),
    letters written apart (`L.o.p.e.z`), `and` for `&`, `at` and `dot` in an address, the family name first, initials
    (`M. Lopez`, `Bo L.`), the day before or after the month.

    Args:
        text: an answer.
        values: the dialogue's ground truth.

    Returns:
        The matches in the order of the text; none overlap.

    Raises:
        ValueError: a value without any visible character.
    """
    folded = _fold(text)
    matches = [each for value in dict.fromkeys(values) for each in _matches(text, folded, value)]
    # The longest first, and of equally long ones exact copies, then whole values.
    matches.sort(key=lambda each: (each[0].start - each[0].end, each[0].near, each[1], each[0].start))
    return resolve_overlaps(match for match, _ in matches)


def _matches(text: str, folded: _Folded, value: Value) -> Iterator[tuple[ValueMatch, bool]]:
    """Yield all occurrences of a value, and whether each is a part of it."""
    for form in _forms(value, HAS_UNSPACED.search(text) is not None):
        for match in form.pattern.finditer(folded.text):
            start, end = folded.places[match.start()][0], folded.places[match.end() - 1][1]
            if not form.capital or text[start].isupper():
                yield ValueMatch(value, start, end, form.near), form.part


@functools.lru_cache(maxsize=8192)
def _forms(value: Value, unspaced: bool) -> tuple[_Form, ...]:
    letter, whole = _WORDS[unspaced], _fold(value.value).text.strip()
    if not whole:
        raise ValueError(f"a true value of type {value.type} is blank; correct the entities of the dialogue")
    forms = {whole: False}
    if value.type == "NAME":
        words = [word.strip(".,'\"()") for word in whole.split(" ")]
        while words and words[0] in TITLES:  # "Dr. Ana Ruiz" is named in full by "Ana Ruiz"
            whole, words = whole.split(" ", 1)[-1], words[1:]
        forms.setdefault(whole, False)
        for word in words:
            if len(words) > 1 and sum(char.isalpha() for char in word) >= _MIN_PART_LETTERS and word not in TITLES:
                forms.setdefault(word, True)
    exact = [_Form(_bounded(form, letter), form in ORDINARY, part) for form, part in forms.items()]
    return (*exact, *(_Form(re.compile(pattern), near=True) for pattern in _near(whole, value.type, letter)))


def _near(whole: str, kind: str, letter: str) -> Iterator[str]:
    """Patterns of near copies of a normalised value; none of one that is too short to tell."""
    before, after = f"(?<!{letter})", f"(?!{letter})"
    words = WORD.findall(whole)
    if sum(map(len, words)) < _MIN_NEAR:
        return
    orders = [words]
    if kind == "NAME" and len(words) > 1:
        orders.append([words[-1], *words[:-1]])
        for own, other, order in ((words[-1], words[0], 1), (words[0], words[-1], -1)):
            if len(own) < _MIN_PART_LETTERS:  # a longer one is a part and found by itself
                yield before + r"[\W_]{1,3}".join([other[0], own][::order]) + after
    if kind == "DATE" and len(words) > 1 and words[0].isdigit() != words[1].isdigit():
        orders.append([words[1], words[0], *words[2:]])
    between = _BETWEEN + {"ORG": r"(?:\band\s)?", "EMAIL": rf"(?:(?:at|dot){_BETWEEN})?"}.get(kind, "")
    for ordered in orders:
        yield before + between.join([_spelled(word) for word in ordered]) + after


def _spelled(word: str) -> str:
    """Pattern of a word as it is or with its characters apart."""
    return f"(?:{word}|{_APART.join(word)})" if len(word) >= _MIN_PART_LETTERS else word


def _bounded(value: str, letter: str) -> re.Pattern[str]:
    """Pattern for a normalised value that is not part of a longer word or number, which goes on with a letter."""
    digits = re.sub(r"\D", "", value)
    if _NUMBER.fullmatch(value) and len(digits) >= _MIN_NUMBER_DIGITS:
        return re.compile(r"(?<!\d)\+?\(?" + r"[\s().\-/]{0,2}".join(digits) + f"(?!{letter})")
    before, after = f"(?<!{letter})", rf"(?!{letter}|'(?!s\b)[^\W\d_])"  # Will's holds Will, but don't holds no Don
    if value.isdigit():  # 250 does not occur in 1,250 or 250.75
        before, after = before + r"(?<!\d[.,])", after + r"(?![.,]\d)"
    return re.compile(
        (before if value[0].isalnum() else "") + re.escape(value) + (after if value[-1].isalnum() else "")
    )


def _fold(text: str) -> _Folded:
    """Normalise a text and remember where each character comes from."""
    chars: list[str] = []
    places: list[tuple[int, int]] = []
    for start, end in _clusters(text):
        folded = _fold_cluster(text[start:end])
        if folded == " " and chars and chars[-1] == " ":
            places[-1] = (places[-1][0], end)
            continue
        chars += folded
        places += [(start, end)] * len(folded)
    return _Folded("".join(chars), places)


def _clusters(text: str) -> Iterator[tuple[int, int]]:
    """Spans of a character with the combining marks after it, which NFKC may merge."""
    start = 0
    for end in range(1, len(text) + 1):
        if end == len(text) or not unicodedata.combining(text[end]):
            yield start, end
            start = end


@functools.lru_cache(maxsize=4096)
def _fold_cluster(cluster: str) -> str:
    if cluster.isspace():
        return " "
    if unicodedata.category(cluster[0]) == "Cf":  # soft hyphen, zero-width space and the like
        return ""
    folded = unicodedata.normalize("NFKC", cluster.translate(_UNIFIED)).casefold()
    return unicodedata.normalize("NFKC", folded)
