"""Which option a generated answer names: by its text, or by its number or letter.

An answer counts for an option only if it can be read in one way; all else is unscored:

- Texts are compared by words: case, ordinary punctuation, white space, articles and a plural's "s" do not count, signs
  and operators do; "seven" is "7". Where one option's text contains another's, the longer one counts ("carbon dioxide"
  does not name "carbon"). A text after "not" is not named. Where all options begin or end alike ("The planet …",
  "… dollars"), the rest of an option names it too, unless the question contains that rest.
- A label is a number, or a letter as MMLU-Pro has them, that stands alone, opens a line ("2. …") or follows "answer",
  "option" or "choice".
- Several labels, several texts, or a label and another option's text contradict each other.
- A number without bracket or the word "option" ("2", "the answer is 2") may also stand for an
  option that contains it: it counts as a label if no option does, or if its own option's text follows ("2. The heart").
- A refusal names nothing, whatever words it contains.
"""

import re
import unicodedata
from collections.abc import Sequence
from itertools import chain, takewhile

from tightlip.records import Question

_WORD = re.compile(
    r"(?:(?<![^\W_])-(?=\d))?[^\W_]+(?:(?:(?<=\d)[.,/:](?=\d)|\^-?)[^\W_]+)*"  # words; 3.14, 1/2, -5, x^2
    r"|(?<!\S)-(?!\S)|[^\w\s.,;:!?\"'“”‘’«»*`#$€£…–—|\\-]"  # signs that are no punctuation: +, %, →, (
)
_MARKS = re.compile(r"[\"“”]|(?<!\w)[*_`]+|[*_`]+(?!\w)")  # of emphasis and quotation, but not 7*8
_ARTICLE = re.compile(r"\b(?:the|an|a) (?=[^\W\d_]{2})")
_NEGATED = re.compile(
    r" (?:not|never|nor|cannot|(?:is|are|was|were|do|does|did|ca|wo|could|would|should)nt)"
    r"(?: (?:in|at|of|on|by|to|for|from|with))?(?: (?:the|an?))? $"
)
_REFUSAL = re.compile(
    r"\bi(?:['’]m| am)? (?:so )?(?:sorry|unable|not able|not sure|not allowed|can ?not|can['’]t|could ?n['’]t|won['’]t|"
    r"will not|do not know|don['’]t know|have no idea)\b|\bas an ai\b|^\W*sorry\b",
    re.IGNORECASE,
)

_NUMBER, _LETTER = r"\d{1,2}(?![\w%]|[.,/:^]\d)", r"(?:[B-HJ]\b(?![-'’])|[AI](?=\s*$|[)\].:,;]))"
_CUE = r"\b(?i:answer(?:\s+is|\s+would\s+be|\s+must\s+be)?)\s*:?\s*"
_SURE = re.compile(
    rf"^\s*(?:[(\[]\s*(?:\d{{1,2}}|[A-Ja-j])\s*[)\]]|(?:\d{{1,2}}|[A-Ja-j])\s*[)\]])[.:]?(?=\s|$)"  # (2), 2), b)
    rf"|{_CUE}[(\[]\s*(?:\d{{1,2}}|[A-Ja-j])\s*[)\]]"  # answer: (2)
    rf"|(?<!not )\b(?i:option|choice)\s+(?:(?i:number|no\.)\s*)?[(\[]?(?:{_NUMBER}|[A-J]\b)[)\]]?",  # option 2
    re.MULTILINE,
)
_LISTED = re.compile(r"^\s*(?:\d{1,2}|[A-J])(?:[.:]|\s+[-–—])(?=[^\S\n]+\S)", re.M)  # 2. The heart
_BARE = re.compile(rf"\A\s*(?:{_NUMBER}|[A-Ja-j])\s*[.:]?\s*\Z|{_CUE}(?:{_NUMBER}(?=\s*$|[)\].:,;])|{_LETTER})", re.M)

_NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_DIGITS = {"zero": "0", **{word: str(number) for number, word in enumerate(_NUMBERS, 2)}}  # "one" is mostly a pronoun
_PLURAL = re.compile(r"(?<=[^\W\d_]{3})(?<![isu])s$")
_LOOSE = {"a", "i", "no", "one"}
"""Option texts that occur in most sentences: only the whole answer can name them."""


def named_option(answer: str, question: Question, *, numbered: bool = True) -> int | None:
    """Return the index of the option that an answer names, or None if it names none or several.

    Args:
        answer: as generated.
        question: with its options; of options with the same text, the first is returned.
        numbered: whether the options were shown with their numbers; if not, only their texts count.
    """
    if _REFUSAL.search(answer):
        return None
    options, plain = question.options, _MARKS.sub("", answer)
    whole = _only(_equal(re.sub(rf"\A.*?{_CUE}", "", plain, count=1, flags=re.S), options), options)
    if not numbered or (whole is not None and not re.fullmatch(r"\d{1,2}|[a-j]", _words(options[whole]))):
        return whole if whole is not None else _only(_mentioned(plain, question), options)
    sure, listed, bare = ([_label(match) for match in pattern.finditer(plain)] for pattern in (_SURE, _LISTED, _BARE))
    labels = {index for label in chain(sure, listed, bare) if 0 <= (index := _index(label)) < len(options)}
    if not labels:
        return _only(_mentioned(plain, question), options)
    texts = _mentioned(_LISTED.sub("", _SURE.sub(" ", plain)), question)
    return _only(labels | (texts or _holding([*listed, *bare], options)), options)


def _only(indices: set[int], options: Sequence[str]) -> int | None:
    """The first of the indices, if all of them have the same text."""
    return min(indices) if len({options[index] for index in indices}) == 1 else None


def _label(match: re.Match[str]) -> str:
    """The number or small letter in a matched label, after its cue."""
    labels: list[str] = re.findall(r"\d+|\b[A-Ja-j]\b", match.group())
    return labels[-1].lower()


def _index(label: str) -> int:
    return int(label) - 1 if label.isdigit() else "abcdefghij".index(label)


def _holding(labels: Sequence[str], options: Sequence[str]) -> set[int]:
    """Options in whose text a label occurs as a word."""
    words = [set(_words(option).split()) - _LOOSE for option in options]
    return {index for index, option_words in enumerate(words) if option_words & set(labels)}


def _equal(text: str, options: Sequence[str]) -> set[int]:
    words = _ARTICLE.sub("", _words(text))
    return {index for index, option in enumerate(options) if words and _ARTICLE.sub("", _words(option)) == words}


def _mentioned(answer: str, question: Question) -> set[int]:
    """Options of which the text, or the part that no other option has, occurs in an answer, articles aside."""
    words, texts = _words(answer), [_words(option) for option in question.options]
    without = [_ARTICLE.sub("", text) for text in texts]
    question_words = f" {_words(question.question)} "
    own = ["" if len(text) < 2 or f" {text} " in question_words else text for text in _own_parts(without)]
    by_text = _occurring(words, texts) | _occurring(_ARTICLE.sub("", words), without)
    return by_text | _occurring(_ARTICLE.sub("", words), own)


def _own_parts(texts: Sequence[str]) -> list[str]:
    """Strip the words that all texts begin and end with."""
    rows = [text.split() for text in texts]
    for _ in range(2):
        shared = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, zip(*rows, strict=False)))
        rows = [row[shared:][::-1] for row in rows]
    return [" ".join(row) for row in rows]


def _occurring(answer: str, texts: Sequence[str]) -> set[int]:
    padded = f" {answer} "
    spans = [
        (*match.span(), index)
        for index, text in enumerate(texts)
        if text and (text not in _LOOSE or text == answer)
        for match in re.finditer(rf"(?<= ){re.escape(text)}(?= )", padded)
    ]
    return {
        index
        for start, end, index in spans
        if not _NEGATED.search(padded[:start])
        and not any(left <= start and end <= right and right - left > end - start for left, right, _ in spans)
    }


def _words(text: str) -> str:
    """Reduce a text to its words and signs, in lower case with one space between them."""
    text = unicodedata.normalize("NFC", text).casefold().replace("−", "-")
    text = re.sub(r"(?<=\w)['’](?=\w)", "", text)
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    return " ".join(_DIGITS.get(word, _PLURAL.sub("", word)) for word in _WORD.findall(text))
