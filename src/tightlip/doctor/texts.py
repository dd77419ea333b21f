"""How long the texts are that the stages will read and write: the run's own dialogues, counted."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from tightlip.evaluation.question_sets import load_questions
from tightlip.files import read_jsonl
from tightlip.params import ModelSource, Params, Questions
from tightlip.records import Dialogue, Message, Question, Sample, Split

TURN_MARKS = 5
"""Tokens that ChatML and Llama-3's template put around a message."""

SAMPLED = 200
"""Samples whose tokens are counted; the rest is like them."""

UNKNOWN_QUESTION, UNKNOWN_OPTIONS, UNKNOWN_COUNT = 100, 150, 100
"""Tokens of a question and of its options, and how many there are, for sets that are not on this machine."""

SYNTHETIC = 300
"""Dialogues invented as a stand-in where those of the run are not at hand."""

Count = Callable[[str], int]


@dataclass(frozen=True)
class Texts:
    """Counts, and mean lengths in tokens.

    Attributes:
        samples: per split.
        dialogues, dialogue, longest_dialogue: how many are trained on, and their length.
        turns: words of all turns of all dialogues.
        probes: personal values in the assistant's turns of the attacked dialogues.
        prompt, longest, completion: of samples.
        distinct: share of the test prompts' tokens that is left when prompts that begin alike are read as one.
        dev_questions, test_questions: how many.
        question, options: of one question, and of all its options.
        counted_with: which tokenizer.
    """

    samples: dict[Split, int]
    dialogues: int
    dialogue: float
    longest_dialogue: int
    turns: int
    probes: int
    prompt: float
    longest: int
    completion: float
    distinct: float
    dev_questions: int
    test_questions: int
    question: float
    options: float
    counted_with: str


def count_texts(params: Params, dialogues: Sequence[Dialogue], count: Count, counted_with: str) -> Texts:
    """Cut the run's samples and count them.

    Args:
        params: of the run.
        dialogues: all of it.
        count: tokens of a text.
        counted_with: name of the tokenizer.
    """
    from tightlip.dialogues.samples import count_samples, draw, extract_samples, pick
    from tightlip.evaluation.attack import probes

    sizes = count_samples(dialogues)
    drawn = {
        split: list(
            pick(
                extract_samples(row for row in dialogues if row.split == split),
                draw(of_split, getattr(params.samples, split), params.seed),
            )
        )
        for split, of_split in sizes.items()
    }
    train = [dialogue for dialogue in dialogues if dialogue.split == "train"]
    lengths = [min(_conversation(each.turns, count), params.tune.max_length) for each in _some(train)]
    samples = _some([sample for rows in drawn.values() for sample in rows])
    lengths_of_prompts = [_conversation(each.messages, count) + count(each.prefix) for each in samples]
    prompts = [min(length, params.pairs.max_prompt_tokens) for length in lengths_of_prompts]
    questions = params.eval.questions
    asked = [_questions(questions, split) for split in (questions.dev, questions.test)]
    some = [question for rows, _ in asked for question in rows[:50]]
    return Texts(
        samples={split: len(rows) for split, rows in drawn.items()},
        dialogues=len(train),
        dialogue=mean(lengths),
        longest_dialogue=max(lengths),
        turns=sum(len(turn.content.split()) for dialogue in dialogues for turn in dialogue.turns),
        probes=len(list(probes(train[: params.tune.attack_dialogues]))),
        prompt=mean(prompts),
        longest=max(prompts),
        completion=mean(count(sample.completion) for sample in samples),
        distinct=distinct_share([_words(sample) for sample in drawn["test"][: params.eval.prompts]]),
        dev_questions=asked[0][1],
        test_questions=asked[1][1],
        question=mean(count(each.question) for each in some) + 8 * TURN_MARKS if some else UNKNOWN_QUESTION,
        options=mean(sum(map(count, each.options)) for each in some) if some else UNKNOWN_OPTIONS,
        counted_with=counted_with,
    )


def the_dialogues(params: Params, file: Path | None) -> list[Dialogue]:
    """Return the run's dialogues: those in the file, or else the synthetic ones, invented anew.

    They are the run's own, from its seed; of a run on other dialogues, which are not there yet, they are a stand-in.
    """
    from tightlip.dialogues.synthesis import synthesise

    if file and file.is_file():
        return read_jsonl(file, Dialogue)
    settings = params.dialogues
    return synthesise(settings.count or SYNTHETIC, settings.dev, settings.test, params.seed)


def find_counter(source: ModelSource, made: Path | None) -> tuple[Count, str]:
    """Return what counts tokens, and its name: the model's tokenizer, or else four characters to a token.

    Args:
        source: of the base model.
        made: directory of the base model, if the run has fetched it.
    """
    tokenizer = _tokenizer(source, made)
    if tokenizer is None:
        return lambda text: -(-len(text) // 4), "four characters to a token"
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False)), "the model's tokenizer"


def _tokenizer(source: ModelSource, made: Path | None) -> Any:
    from transformers import AutoTokenizer

    from tightlip.models.packaged import find_packaged
    from tightlip.models.random_model import random_tokenizer

    try:
        if made and (made / "tokenizer.json").is_file():
            return AutoTokenizer.from_pretrained(made, local_files_only=True)
        if source.source == "random":
            return random_tokenizer()
        if source.source == "package":
            folder, file = find_packaged(source.name)
            return AutoTokenizer.from_pretrained(folder, gguf_file=file)
        return AutoTokenizer.from_pretrained(source.name, revision=source.revision, local_files_only=True)
    except (OSError, ValueError):
        return None


def distinct_share(prompts: Sequence[Sequence[str]]) -> float:
    """Return which share of all prompts' words differs from the beginning of the prompt before, in sorted order."""
    alike, ordered = 0, sorted(map(list, prompts))
    for before, prompt in itertools.pairwise(ordered):
        same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(before, prompt, strict=False))
        alike += sum(1 for _ in same)
    return 1 - alike / max(1, sum(map(len, ordered)))


def _conversation(messages: Sequence[Message], count: Count) -> int:
    return sum(count(message.content) + TURN_MARKS for message in messages) + TURN_MARKS


def _words(sample: Sample) -> list[str]:
    return " ".join([*(message.content for message in sample.messages), sample.prefix]).split()


def _questions(asked: Questions, split: str) -> tuple[list[Question], int]:
    """Return a split's questions, as far as they are on this machine, and how many there are."""
    if asked.source != "hub":
        try:
            rows = load_questions(asked, split)
        except ValueError:
            return [], UNKNOWN_COUNT
        return rows, len(rows)
    first, _, last = split.partition("[")[2].rstrip("]").partition(":")
    if last.isdigit():
        return [], int(last) - int(first or 0)
    return [], 70 if (asked.name, split) == ("TIGER-Lab/MMLU-Pro", "validation") else UNKNOWN_COUNT


def _some(rows: Sequence[Any]) -> Sequence[Any]:
    return rows[:: max(1, len(rows) // SAMPLED)]
