"""The run's dialogues: whether every text fits the token limits, and how much there is to read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from tightlip.doctor.findings import Finding, error_finding, finding
from tightlip.files import read_jsonl
from tightlip.params import Params
from tightlip.records import Dialogue, Message, Pair, Sample, Split

SYNTHETIC = 300
"""Number of dialogues to invent where those of the run are not on this machine."""

LONGEST = 50
"""Number of texts, the longest by characters, that are tokenized and checked against the limits."""

CHARACTERS_PER_TOKEN = 4.0
"""Assumed where the model's tokenizer is not on this machine."""


@dataclass(frozen=True)
class Texts:
    """How much a run reads; lengths in tokens, estimated from characters and cut at the limits.

    Attributes:
        dialogues: number of all dialogues.
        train: number of training dialogues.
        samples: number of samples that are drawn, per split.
        dialogue, longest_dialogue: mean and longest training dialogue.
        prompt, longest_prompt: mean and longest prompt of a sample.
        completion: mean length of what follows a prompt.
    """

    dialogues: int
    train: int
    samples: dict[Split, int]
    dialogue: float
    longest_dialogue: float
    prompt: float
    longest_prompt: float
    completion: float


def load_dialogues(params: Params, root: Path, made: bool) -> tuple[list[Dialogue], Finding | None]:
    """Return the run's dialogues, or invented ones in their place.

    Args:
        params: of the run.
        root: of the project.
        made: whether `data/dialogues.jsonl` belongs to these parameters.

    Returns:
        The dialogues, and a finding if they could not be read or are a stand-in.
    """
    from tightlip.dialogues.synthesis import synthesise

    settings, file = params.dialogues, root / "data/dialogues.jsonl"
    if made and file.is_file():
        return read_jsonl(file, Dialogue), None
    problem = None
    if settings.format != "synthetic":
        try:
            return read_source(params, root), None
        except (ValueError, OSError) as error:
            problem = error_finding("dialogues", error)
        except LookupError:
            text = "on the hub and not imported yet; invented ones stand in for them"
            problem = Finding("dialogues", "warn", text, "dvc repro make_dialogues, and run the doctor again")
    return synthesise(settings.count or SYNTHETIC, settings.dev, settings.test, params.seed), problem


def read_source(params: Params, root: Path) -> list[Dialogue]:
    """Import dialogues as `make_dialogues` does, but with the patterns as the only detector, which takes seconds.

    Raises:
        LookupError: they are on the hub.
        ValueError: the source is missing, or a conversation is broken.
    """
    from tightlip.dialogues.importers.importing import Shares, import_dialogues, read_conversations
    from tightlip.pii.patterns import structured

    settings = params.dialogues
    if settings.revision:
        raise LookupError(settings.path)
    path, values = (str(root / name) if name else "" for name in (settings.path, settings.values))
    conversations = read_conversations(settings.format, path, values, None, settings.split, settings.columns.named)
    shares = Shares(settings.dev, settings.test, params.seed)
    imported = list(import_dialogues(conversations, settings.path, shares, settings.count, structured))
    for each in imported:
        if each.problems:
            raise ValueError(f"{each.problems[0]}; `tightlip data check` lists all problems")
    return [each.dialogue for each in imported if each.dialogue]


def draw_samples(params: Params, dialogues: Sequence[Dialogue]) -> dict[Split, list[Sample]]:
    """Draw the samples of every split as `extract_samples` does."""
    from tightlip.dialogues.samples import count_samples, extract_samples, sample_evenly, take

    samples = {}
    for split, sizes in count_samples(dialogues).items():
        numbers = sample_evenly(sizes, getattr(params.samples, split), params.seed)
        samples[split] = list(take(extract_samples(row for row in dialogues if row.split == split), numbers))
    return samples


def check_lengths(
    params: Params, dialogues: Sequence[Dialogue], samples: Sequence[Sample], tokenizer: Any
) -> list[Finding]:
    """Check the longest texts against the limits, as `tune_challenge`, `build_pairs` and `train_orpo` do."""
    from tightlip.models.encoding import fit_messages
    from tightlip.models.tuning import encode_dialogue
    from tightlip.preference.pair_encoding import encode_pairs

    def check_dialogue(dialogue: Dialogue) -> None:
        encode_dialogue(tokenizer, dialogue, params.tune.max_length)

    def check_sample(sample: Sample) -> None:
        messages = fit_messages(tokenizer, sample.messages, sample.prefix, params.pairs.max_prompt_tokens)
        pair = Pair(
            id=sample.id, sample_id=sample.id, source="", condition="none", messages=messages, prefix=sample.prefix,
            chosen=sample.completion, rejected=sample.completion,
        )  # fmt: skip
        encode_pairs(tokenizer, [pair], params.pairs.max_tokens)

    train = [] if params.tune.given else [row for row in dialogues if row.split == "train"]
    last_two = [(_size(row.turns[-2:]), row) for row in train]
    ends = [(_size(row.messages[-1:]) + len(row.prefix) + len(row.completion), row) for row in samples]
    return [
        _first_error("tuning length", check_dialogue, last_two, f"training dialogues fit {params.tune.max_length}"),
        _first_error("prompt length", check_sample, ends, f"prompts fit {params.pairs.max_prompt_tokens}"),
    ]


def _first_error(name: str, check: Callable[[Any], None], sized: Sequence[tuple[int, Any]], text: str) -> Finding:
    for _, row in sorted(sized, key=lambda pair: -pair[0])[:LONGEST]:
        try:
            check(row)
        except ValueError as error:
            return error_finding(name, ValueError(f"{row.id}: {error}"))
    return finding(name, f"the longest {text} tokens")


def characters_per_token(dialogues: Sequence[Dialogue], tokenizer: Any | None) -> float:
    """Return the characters of what is said per token, those of the chat template included, over some dialogues."""
    from tightlip.models.encoding import encode_prompt

    some = dialogues[:: max(1, len(dialogues) // LONGEST)]
    if tokenizer is None:
        return CHARACTERS_PER_TOKEN
    return sum(_size(row.turns) for row in some) / sum(len(encode_prompt(tokenizer, row.turns)) for row in some)


def measure_texts(
    params: Params, dialogues: Sequence[Dialogue], samples: dict[Split, list[Sample]], characters: float
) -> Texts:
    """Count and measure what a run reads; `characters` per token."""
    train = [row for row in dialogues if row.split == "train"]
    lengths = [min(_size(row.turns) / characters, params.tune.max_length) for row in train]
    drawn = [row for rows in samples.values() for row in rows]
    limit = params.pairs.max_prompt_tokens
    prompts = [min((_size(row.messages) + len(row.prefix)) / characters, limit) for row in drawn]
    return Texts(
        dialogues=len(dialogues), train=len(train), samples={split: len(rows) for split, rows in samples.items()},
        dialogue=mean(lengths), longest_dialogue=max(lengths), prompt=mean(prompts), longest_prompt=max(prompts),
        completion=mean(len(row.completion) for row in drawn) / characters,
    )  # fmt: skip


def _size(messages: Sequence[Message] | Sequence[Any]) -> int:
    return sum(len(message.content) for message in messages)
