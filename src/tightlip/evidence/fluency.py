"""How answers read: perplexity under the base model, repetition, endings."""

import math
import re
from collections.abc import Sequence
from typing import Any

import torch

from tightlip.models.encoding import encode_completion, encode_prompt
from tightlip.models.packing import Group, pack, run, to_device
from tightlip.models.scoring import token_logps
from tightlip.records import LeakOutcome, Sample

BATCH = 8


def fluency(base: Any, tokenizer: Any, samples: Sequence[Sample], outcomes: Sequence[LeakOutcome]) -> dict[str, Any]:
    """Measure how answers read.

    Args:
        base: the model that was never tuned, that gives the perplexity.
        tokenizer: of the model.
        samples: the prompts.
        outcomes: the answers to them.

    Returns:
        `perplexity` (of all answers' tokens after their prompts; None without any), `repeated_pct` (word 3-grams that
        occur earlier in the same answer) and `unfinished_pct` (answers cut at the limit or without an end mark).
    """
    groups = [
        Group(encode_prompt(tokenizer, sample.messages, sample.prefix), [tokens])
        for sample, outcome in zip(samples, outcomes, strict=True)
        if (tokens := encode_completion(tokenizer, outcome.answer, end=False))
    ]
    trigrams = [list(zip(words, words[1:], words[2:], strict=False)) for words in (o.answer.split() for o in outcomes)]
    count = sum(map(len, trigrams))
    repeated = count - sum(len(set(answer_trigrams)) for answer_trigrams in trigrams)
    finished = sum(o.finish == "stop" and bool(re.search(r"[.!?…][\"')\]]*\s*\Z", o.answer)) for o in outcomes)
    return {
        "perplexity": _perplexity(base, groups),
        "repeated_pct": round(100 * repeated / count, 1) if count else None,
        "unfinished_pct": round(100 * (1 - finished / len(outcomes)), 1),
    }


@torch.inference_mode()
def _perplexity(model: Any, groups: Sequence[Group]) -> float | None:
    logps: list[float] = []
    for start in range(0, len(groups), BATCH):
        batch = to_device(pack(groups[start : start + BATCH]), model.device)
        hidden_SD = run(model, batch).flatten(0, 1)[batch["scored"]]
        logps += token_logps(model, hidden_SD, batch["targets"]).tolist()
    return round(math.exp(-sum(logps) / len(logps)), 2) if logps else None
