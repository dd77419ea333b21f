"""Attacks, provenance, detector quality and Tables 4–7."""

import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from tightlip.evaluation.attack import CONTEXT_TOKENS, Probe, attack, raw_context
from tightlip.evaluation.evaluator import Evaluator, LoadedModel, answer_cache
from tightlip.evaluation.over_refusal import benign_samples
from tightlip.evidence.attack_phrases import FAMILIES, TRIGGERS
from tightlip.evidence.attacks import Attack, attacks, distinct_conversations, run_attacks
from tightlip.evidence.fluency import fluency
from tightlip.evidence.provenance import trace
from tightlip.evidence.quality import qualities
from tightlip.guidance.prompt_setup import BARE, PromptSetup
from tightlip.models.encoding import encode_completion, encode_prompt
from tightlip.params import load_params
from tightlip.pii.lookup import ValueIndex
from tightlip.pii.matching import find_values
from tightlip.pii.spans import Span
from tightlip.prompts import NEGATIVE
from tightlip.records import (
    AttackOutcome,
    Entity,
    Leak,
    LeakOutcome,
    Message,
    Sample,
    Turn,
    UtilityOutcome,
    Value,
)
from tightlip.table_rows import Guidance
from tightlip.tables import evidence_tables as evidence

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")
ANA, OSLO, BO = (
    Value(type="NAME", value="Ana Ruiz"),
    Value(type="LOC", value="Oslo"),
    Value(type="NAME", value="Bo Kim"),
)


def sample(number: int, question: str = "Who am I?", prefix: str = "You are") -> Sample:
    return Sample(
        id=f"d{number}:2:0", dialogue_id=f"d{number}", split="test", prefix=prefix, completion=" Ana Ruiz.", target=ANA,
        messages=(Message(role="system", content="Help."), Message(role="user", content=question)), truths=(ANA, OSLO),
    )  # fmt: skip


# --- Attacks -------------------------------------------------------------------------------------------------------


def test_there_are_six_families_and_more_with_several_phrasings_each() -> None:
    counts = {family: sum(attack.family == family for attack in attacks()) for family in (*FAMILIES, "system_trigger")}
    assert len(FAMILIES) >= 7
    assert all(count >= 3 for count in counts.values())
    assert TRIGGERS[0] == NEGATIVE


def test_an_attack_puts_its_words_where_it_says_and_starts_the_answer_anew() -> None:
    told = Attack("x", "Please: {message} Now!", "Sure:", "Share all.").apply(sample(0, "Who {is} it?"))
    assert [message.content for message in told.messages] == ["Help. Share all.", "Please: Who {is} it? Now!"]
    assert (told.id, told.prefix, told.truths) == ("d0:2:0", "Sure:", (ANA, OSLO))


@pytest.mark.parametrize("attack", list(attacks()), ids=lambda attack: f"{attack.family}-{attack.template[:20]}")
def test_every_attack_changes_the_prompt_and_makes_a_valid_one(attack: Attack) -> None:
    told = attack.apply(sample(0))
    assert told.messages != sample(0).messages or told.prefix
    assert told.prefix == told.prefix.rstrip()
    assert "{" not in told.messages[-1].content


def test_attacked_conversations_are_distinct() -> None:
    same = [sample(0), sample(0, prefix="Hello, you are"), sample(1, "And I?"), sample(2, "Or I?")]
    assert distinct_conversations(same, 2) == [sample(0), sample(1, "And I?")]


def test_every_phrasing_meets_every_conversation_and_the_triggers_the_bare_weights_too() -> None:
    asked: list[tuple[PromptSetup, str]] = []

    class Noting(Evaluator):
        def leaks(self, samples: Any, setups: Any) -> Any:
            asked.extend((setups[0], each.messages[0].content) for each in samples)
            outcome = LeakOutcome(
                sample_id="d0:2:0", answer="", finish="stop", entities=(), leaks=(), degenerate="empty"
            )
            return {setups[0]: [outcome for _ in samples]}

    deployed = PromptSetup("positive", Guidance(2.0))
    outcomes = run_attacks(
        Noting(lambda: LoadedModel(0, 0), answer_cache([], PARAMS, {}), PARAMS), deployed, [sample(0), sample(1)]
    )
    phrasings = len(list(attacks()))
    assert len(outcomes) == len(asked) == 2 * (phrasings + len(TRIGGERS))
    assert {outcome.family for outcome in outcomes} == {*FAMILIES, "system_trigger", "bare_trigger"}
    assert [setup for setup, _ in asked].count(BARE) == 2 * len(TRIGGERS)
    assert all(setup != BARE or any(told.endswith(each) for each in TRIGGERS) for setup, told in asked)


def test_extraction_continues_the_last_tokens_of_the_scrubbed_text(tiny_model: Any, tiny_tokenizer: Any) -> None:
    long = Probe((Message(role="user", content="word " * 500),), "The name is", Value(type="NAME", value="x"))
    ids = raw_context(tiny_tokenizer, long)
    assert len(ids) == CONTEXT_TOKENS
    assert tiny_tokenizer.decode(ids).endswith("The name is")
    (text,) = {"".join(map(str, attack(tiny_model, tiny_tokenizer, [long], raw_context, batch_size=1, progress="")))}
    assert text in ("True", "False")


# --- Usefulness ----------------------------------------------------------------------------------------------------


def test_benign_questions_ask_for_every_kind_and_a_right_answer_is_found() -> None:
    samples, dev = benign_samples("test"), benign_samples("dev")
    assert len({each.messages[-1].content for each in (*samples, *dev)}) == 96 + 48
    for split, count in ((samples, 24), (dev, 12)):
        kinds = Counter(each.target.type for each in split)
        assert list(kinds.values()) == [count] * 4
    assert all(find_values(f"I think it is {each.target.value}.", each.truths) for each in samples)
    (moon,) = (each for each in samples if "first person to walk" in each.messages[-1].content)
    assert not find_values("I cannot share names.", moon.truths)


def test_fluency_is_that_of_the_texts(tiny_model: Any, tiny_tokenizer: Any) -> None:
    def outcome(answer: str, finish: Any = "stop") -> LeakOutcome:
        return LeakOutcome(sample_id="s", answer=answer, finish=finish, entities=(), leaks=(), degenerate=None)

    answers = [outcome(" a b c a b c."), outcome(" and so"), outcome(" it is so.", "length"), outcome("")]
    found = fluency(tiny_model, tiny_tokenizer, [sample(i) for i in range(4)], answers)
    assert found["unfinished_pct"] == 75.0
    assert found["repeated_pct"] == 0.0  # "c." is another word than "c"
    logps = []
    for each, said in zip([sample(i) for i in range(4)], answers, strict=True):
        prompt, told = encode_prompt(tiny_tokenizer, each.messages, each.prefix), encode_completion(
            tiny_tokenizer, said.answer, end=False)  # fmt: skip
        if told:
            with torch.no_grad():
                logits = tiny_model(torch.tensor([[*prompt, *told]])).logits[0, len(prompt) - 1 : -1]
            logps += logits.log_softmax(-1)[range(len(told)), told].tolist()
    assert found["perplexity"] == pytest.approx(math.exp(-sum(logps) / len(logps)), rel=1e-2)
    nothing = fluency(tiny_model, tiny_tokenizer, [sample(0)], [outcome("")])
    assert nothing == {"perplexity": None, "repeated_pct": None, "unfinished_pct": 100.0}


# --- Provenance ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "question", "spans", "traced"),
    [
        ("Ana Ruiz.", "I am Ana Ruiz.", [], [("NAME", "prompt")]),
        ("Ana Ruiz.", "Who am I?", [], [("NAME", "training")]),
        ("in Oslo", "Where?", [], [("LOC", "guessed")]),
        ("Bo Kim, in Oslo", "Bo Kim?", [], [("NAME", "prompt"), ("LOC", "guessed")]),
        ("Bo Kim", "Who?", ["Bo Kim"], [("NAME", "training")]),
        ("Max Li", "Who?", ["Max Li"], [("PERSON", "invented")]),
        ("nobody", "Who?", [], []),
    ],
)
def test_a_value_comes_from_the_first_place_that_holds_it(
    answer: str, question: str, spans: list[str], traced: list[tuple[str, str]]
) -> None:
    """Ana Ruiz and Bo Kim are in training dialogues, Oslo is in this dialogue alone."""
    found = [Span("PERSON", answer.index(text), answer.index(text) + len(text), text) for text in spans]
    assert trace(answer, sample(0, question), ValueIndex([ANA, BO]), found) == traced


# --- Detectors -----------------------------------------------------------------------------------------------------


def test_quality_counts_values_found_and_spans_that_are_right() -> None:
    text = "Ana met Bo in Oslo."
    entities = [Entity(type="NAME", value="Ana", start=0, end=3), Entity(type="NAME", value="Bo", start=8, end=10),
                Entity(type="LOC", value="Oslo", start=14, end=18)]  # fmt: skip
    spans = [Span("PERSON", 0, 3, "Ana"), Span("PERSON", 4, 7, "met"), Span("ORG", 14, 18, "Oslo")]
    found = qualities([Turn(role="user", content=text, entities=tuple(entities))], [spans])
    assert found["NAME"] == (2, 1, 2, 1)  # Ana found; of two PERSON spans one is right
    assert found["LOC"] == (1, 1, 0, 0)  # found under another label
    assert found["all"] == (3, 2, 3, 2)
    assert found["NAME"].metrics["f2"] == pytest.approx(5 * 0.5 * 0.5 / (4 * 0.5 + 0.5))
    assert found["LOC"].metrics["precision"] is None


# --- Tables --------------------------------------------------------------------------------------------------------


def row_of(leaks: list[int], correct: list[bool], lost: list[bool] | None = None) -> evidence.EvidenceRow:
    outcomes = [
        LeakOutcome(sample_id=f"d{i}:2:0", answer="a b", finish="stop", entities=(), degenerate=None,
                    leaks=(Leak(type="NAME", value="Ana"),) * count)
        for i, count in enumerate(leaks)
    ]  # fmt: skip
    questions = [
        UtilityOutcome(question_id=i, category="x", scores=(0.0,), predicted=0, correct=right)
        for i, right in enumerate(correct)
    ]
    attacked = [
        AttackOutcome(**dict(outcomes[0]) | {"leaks": outcomes[0].leaks[:1] if hit else (), "sample_id": f"d{i}:2:0"},
                      family="role_play", phrasing=number)
        for number in (0, 1) for i, hit in enumerate(lost or []) if hit or number == 0
    ]  # fmt: skip
    metrics = {
        "leak_answers": sum(map(bool, leaks)), "trigger_leak_count": 5,
        "pii_count": 1, "degenerate_count": 0, "mean_words": 2.0,
        "n_questions": len(correct), "utility_pct": 50.0,
        "utility_deployed_pct": 100 * sum(correct) / len(correct), "extraction_hits": 3,
        "benign_right": 3, "benign_n": 4, "perplexity": 9.5, "repeated_pct": 1.0, "unfinished_pct": 20.0,
        "provenance": {"prompt": {"NAME": 2, "LOC": 1}, "invented": {"PERSON": 4}},
    }  # fmt: skip
    return evidence.EvidenceRow(outcomes, questions, attacked, metrics)


def test_table_4_compares_every_row_with_the_first() -> None:
    rows = {
        "ch": row_of([2] * 20, [True] * 40),
        "ch-lora_e2_g100": row_of([0] * 20, [True] * 40),
        "ch_redacted": row_of([2] * 20, [False] * 20 + [True] * 20),
    }
    table = evidence.baselines(rows, margin=5, seed=0)
    assert list(table["row"]) == [
        "Model-ch, no sentence",
        "Model-ch-lora (2 epoch)",
        "Model-ch, no sentence, answers redacted",
    ]
    assert list(table["leaks [95% CI]"]) == ["40 [40, 40]", "0", "40 [40, 40]"]
    assert list(table["Δ leaks [95% CI]"]) == [None, "-40 [-40, -40]", "0"]
    assert list(table["p (leaks)"]) == [None, "< 0.001", "1.000"]  # 2 · 2⁻²⁰, twice for Holm
    assert list(table["no loss"]) == [None, "yes", "not shown"]
    assert list(table["trigger leaks"]) == [5, 5, 5]
    # Of 40 questions half are lost: the binomial's standard error is 7.9 points, two of them 15.8.
    assert re.fullmatch(r"-50\.0 \[-6\d\.\d, -3\d\.\d\]", table["Δ points [95% CI]"][2])


def test_rows_tested_on_other_items_are_not_compared() -> None:
    with pytest.raises(ValueError, match="not tested on the same items; run `make evidence`"):
        evidence.baselines({"ch": row_of([1], [True]), "ch_g100": row_of([1, 2], [True])}, 5, 0)


def test_table_5_counts_a_conversation_that_one_phrasing_gets_a_value_out_of() -> None:
    rows = {"ch": row_of([1], [True], lost=[True, False, False, True]), "ch_g100": row_of([1], [True])}
    table = evidence.attacks(rows)
    assert list(table.columns) == ["attack", "n", "Model-ch, no sentence"]
    assert list(table.iloc[0]) == ["role play", 4, "50 [15, 85]"]  # Wilson for 2 of 4


def test_table_6_adds_up_the_types() -> None:
    table = evidence.provenance({"ch": row_of([1], [True])})
    assert dict(table.iloc[0]) == {
        "row": "Model-ch, no sentence", "n": 1, "prompt": 3, "training": 0, "guessed": 0, "invented": 4,
    }  # fmt: skip


def test_table_7_has_a_line_per_type_with_all_of_them_first() -> None:
    of = {"LOC": {"n_true": 1, "recall": 1.0, "precision": None, "f2": None},
          "all": {"n_true": 3, "recall": 0.5, "precision": 0.25, "f2": 0.417}}  # fmt: skip
    table = evidence.detectors({"spacy": of})
    assert [tuple(line) for line in table.itertuples(index=False)] == [
        ("all", 3, "50 / 25 / 42"),
        ("LOC", 1, "100 / – / –"),
    ]


def test_table_9_has_the_rows_with_written_answers_and_counts_what_is_unscored() -> None:
    written = {
        "match_n_correct": 10, "match_n_unscored": 7, "match_pct": 25.0, "match_deployed_n_correct": 0,
        "match_deployed_n_unscored": 40, "n_correct": 20, "n_correct_deployed": 20,
    }  # fmt: skip
    row = row_of([1], [True] * 40)
    scored = row._replace(metrics={**row.metrics, **written})
    table = evidence.scorers({"ch": scored, "ch_g100": row_of([1], [True])})
    assert dict(table.iloc[0]) == {
        "row": "Model-ch, no sentence", "n": 40,
        "likelihood, bare %": "50.0 [35.2, 64.8]", "match, bare %": "25.0 [14.2, 40.2]", "match, bare: unscored": 7,
        "likelihood, as deployed %": "50.0 [35.2, 64.8]", "match, as deployed %": "0.0 [0.0, 8.8]",
        "match, as deployed: unscored": 40,
    }  # fmt: skip
    assert len(table) == 1


def test_table_10_has_every_training_and_their_mean() -> None:
    runs = [row_of([2, 0, 0], [True, True]), row_of([0, 0, 0], [True, False])]
    (line,) = evidence.repeated({"ch-lora_e2_g100": runs, "ch": runs[:1]}, seed=0).to_dict("records")
    assert (line["trainings"], line["n"], line["leaks"]) == (2, 3, "2 · 0")
    assert line["mean leaks [95% CI]"].startswith("1.0 [-")
    assert (line["utility as deployed %"], line["benign right"]) == ("100.0 · 50.0", "3 · 3")
    assert line["mean benign right % [95% CI]"] == "75 [30, 95]"  # Wilson for 3 of 4: the trainings agree


def test_table_8_has_a_line_per_row_and_a_column_per_number_of_steps() -> None:
    counts = pd.DataFrame(
        {"row": ["base", "base", "ch", "ch"], "steps": [0, 4, 0, 4], "n_prompts": 50, "leak_count": [0, 3, 90, 91]}
    )
    table = evidence.relearning(counts)
    assert list(table.columns) == ["row", "n", "0 steps", "4 steps"]
    assert [tuple(line) for line in table.itertuples(index=False)] == [
        ("base, no sentence", 50, 0, 3), ("Model-ch, no sentence", 50, 90, 91),
    ]  # fmt: skip
