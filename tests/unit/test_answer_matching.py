"""Which option an answer names, by hand-written cases."""

from typing import Any

import pytest

from tightlip.evaluation import generated
from tightlip.evaluation.answer_matching import named_option
from tightlip.evaluation.generated import answer_metrics, generate_answers, match_answers, question_messages
from tightlip.guidance.completion import Completion
from tightlip.guidance.prompt_setup import BARE, PromptSetup
from tightlip.prompts import DEFAULT_SYSTEM
from tightlip.records import Question
from tightlip.table_rows import Guidance


def question(*options: str, text: str = "Which one is it?", right: int = 0) -> Question:
    return Question(
        question_id=7, question=text, options=options, answer="ABCDEFGHIJ"[right], answer_index=right, category="other",
        src="test",
    )  # fmt: skip


ORGANS = question("The lung", "The heart", "The kidney", "The liver", "The heart valve")
PH = question("4", "7", "3", "1", "9", "2", "5", "8", "0")
FRUIT = question("12", "12 apples", "2 pears", "A dozen plums")
YEARS = question("1945", "1,950", "1918", "3.14", "-5", "1/2", "50%")
BLOOD = question("O", "A", "B", "AB")
PRICES = question("45 dollars", "50 dollars", "55 dollars", text="A shirt costs 50 dollars. What is it at 10% off?")
PLANETS = question("The planet Mars", "The planet Venus", "The planet Earth", text="Which planet is nearest to Earth?")
TWICE = question("Red", "Blue", "Red")
SIGNS = question("p → q", "p ↔ q", "C", "C++", "mg", "Mg")
WORDS = question("Six", "Seven", "Yes", "No", "None of the above")
SPECIES = question("A. mellifera", "C. elegans", "E. coli")


@pytest.mark.parametrize(
    ("asked", "answer", "expected"),
    [
        # Numbers and letters.
        (ORGANS, "2", 1),
        (ORGANS, "2.", 1),
        (ORGANS, " (2)\n", 1),
        (ORGANS, "2) The heart", 1),
        (ORGANS, "**2. The heart**", 1),
        (ORGANS, "2: heart", 1),
        (ORGANS, "2 - The heart", 1),
        (ORGANS, "Option 2", 1),
        (ORGANS, "I would choose option 2 because it pumps blood.", 1),
        (ORGANS, "The answer is 2)", 1),
        (ORGANS, "The correct answer is 2.", 1),
        (ORGANS, "Answer: 2", 1),
        (ORGANS, "The answer is (2) the heart.", 1),
        (ORGANS, "B", 1),
        (ORGANS, "B.", 1),
        (ORGANS, "(b)", 1),
        (ORGANS, "answer: B", 1),
        (ORGANS, "The answer is **B**, the heart", 1),
        (ORGANS, "A.", 0),
        # Texts.
        (ORGANS, "The heart", 1),
        (ORGANS, "HEART!", 1),
        (ORGANS, "  a\n heart. ", 1),
        (ORGANS, "It is the heart that pumps blood.", 1),
        (ORGANS, "The answer is: the heart", 1),
        (ORGANS, "The heart valve", 4),
        (ORGANS, "The kidneys.", 2),
        (ORGANS, "The liver, not the kidney.", 3),
        (ORGANS, "It isn’t the liver but a kidney.", 2),
        (FRUIT, "12 apples", 1),
        (FRUIT, "There are 12.", 0),
        (YEARS, "In 1945.", 0),
        (YEARS, "1950", 1),
        (YEARS, "about 3.14", 3),
        (YEARS, "−5", 4),
        (YEARS, "1/2", 5),
        (YEARS, "50 percent", None),
        (PRICES, "It is $45 then.", 0),
        (PLANETS, "Mars is.", 0),
        (WORDS, "It has 6 sides.", 0),
        (WORDS, "None of the above.", 4),
        (WORDS, "No.", 3),
        (SIGNS, "p ↔ q", 1),
        (SIGNS, "C++", 3),
        (SPECIES, "C. elegans", 1),
        (SPECIES, "The answer is E. coli.", 2),
        (TWICE, "Red", 0),
        (TWICE, "3. Red", 0),
        (BLOOD, "AB", 3),
        # Nothing, or not clear.
        (ORGANS, "", None),
        (ORGANS, " \n", None),
        (ORGANS, "The spleen", None),
        (ORGANS, "Hearty", None),
        (ORGANS, "kid", None),
        (ORGANS, "6", None),
        (ORGANS, "0", None),
        (ORGANS, "2.5", None),
        (ORGANS, "H", None),
        (ORGANS, "The lung or the heart", None),
        (ORGANS, "The heart. No, the liver.", None),
        (ORGANS, "Option 2 or option 3", None),
        (ORGANS, "2. The liver", None),
        (ORGANS, "1. The lung\n2. The heart\n3. The", None),
        (ORGANS, "1. The lung 2. The heart", None),
        (ORGANS, "It is not option 2.", None),
        (ORGANS, "It is not the heart.", None),
        (ORGANS, "I'm sorry, I can't say anything about the heart.", None),
        (ORGANS, "As an AI, I have no heart.", None),
        (ORGANS, "I don’t know, perhaps the heart.", None),
        (ORGANS, "A good question.", None),
        (ORGANS, "I think so.", None),
        (ORGANS, "2 of them", None),
        (FRUIT, "112 apples", None),
        (YEARS, "19450", None),
        (YEARS, "11", None),
        (PLANETS, "The one nearest to Earth", None),
        (WORDS, "There is no such thing.", None),
        (SIGNS, "MG", None),
        (SIGNS, "p ∧ q", None),
        # A bare number may be an option's number or its text.
        (PH, "7", None),
        (PH, "The answer is 7.", None),
        (PH, "2. 7", 1),
        (PH, "Option 2", 1),
        (PH, "(2)", 1),
        (PH, "7. It is neutral.", None),
        (PH, "The pH is 7", 1),
        (FRUIT, "2", None),
        (FRUIT, "3. 2 pears", 2),
        (question("3", "2", "1"), "2", 1),
        (YEARS, "5", 4),  # none has the text 5
        (YEARS, "5. It is negative.", 4),
        (WORDS, "6", 0),  # there is no option 6
        (question("Seven", "Six", *"uvwxyz"), "7", None),
        (BLOOD, "A", None),
        (BLOOD, "Blood group B", 2),
    ],
)
def test_an_answer_names_an_option_or_none(asked: Question, answer: str, expected: int | None) -> None:
    assert named_option(answer, asked) == expected


@pytest.mark.parametrize(
    ("asked", "answer", "expected"),
    [(PH, "7", 1), (PH, "The answer is 7.", 1), (ORGANS, "2", None), (ORGANS, "B", None), (ORGANS, "2. Heart", 1),
     (BLOOD, "B", 2), (BLOOD, "A", 1)],
)  # fmt: skip
def test_numbers_and_letters_mean_nothing_where_none_were_shown(
    asked: Question, answer: str, expected: int | None
) -> None:
    assert named_option(answer, asked, numbered=False) == expected


@pytest.mark.parametrize("number", range(1, 11))
def test_every_number_and_letter_names_its_option(number: int) -> None:
    asked = question(*(f"thing {word}" for word in "pqrstuvwxy"))
    for answer in (f"{number}", f"({number})", f"Option {number}", "ABCDEFGHIJ"[number - 1] + "."):
        assert named_option(answer, asked) == number - 1


# --- Prompt setups and scoring ---------------------------------------------------------------------------------------


def test_a_question_is_asked_with_numbered_options_in_one_user_message() -> None:
    system, user = question_messages(TWICE, numbered=True)
    assert (system.role, system.content, user.role) == ("system", DEFAULT_SYSTEM, "user")
    assert user.content == "Provide a short answer to the question: Which one is it?\n1. Red\n2. Blue\n3. Red"
    assert question_messages(TWICE, numbered=False)[1].content.endswith("the question: Which one is it?")


def test_a_question_is_one_prompt_for_the_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: dict[str, Any] = {}

    def complete(model: Any, tokenizer: Any, contexts: Any, setup: PromptSetup, **options: Any) -> list[Completion]:
        calls.update(options, contexts=contexts)
        return [Completion("so it is Oslo.", "stop")]

    monkeypatch.setattr(generated, "complete", complete)
    answers = generate_answers(None, None, [TWICE], BARE, numbered=True, max_prompt_tokens=99)
    assert answers == [Completion("so it is Oslo.", "stop")]
    assert calls["contexts"] == [(question_messages(TWICE, numbered=True), "")]
    assert (calls["max_prompt_tokens"], calls["max_new_tokens"]) == (99, 24)


def test_a_model_answers_every_question(tiny_model: Any, tiny_tokenizer: Any) -> None:
    completions = generate_answers(
        tiny_model,
        tiny_tokenizer,
        [TWICE, ORGANS],
        PromptSetup("positive", Guidance(2.0)),
        numbered=False,
        max_prompt_tokens=900,
        max_new_tokens=3,
    )
    assert len(completions) == 2


def test_matched_answers_count_by_text_and_a_cut_word_does_not_count() -> None:
    asked = question("Red", "Blue", "Red", "100", "10", right=2)
    answers = [
        ("Red", "stop"),
        ("It is blue", "stop"),
        ("", "stop"),
        ("It is red", "length"),
        ("It is red or", "length"),
    ]
    scored = match_answers([Completion(*answer) for answer in answers], [asked] * 5, numbered=True)
    assert [row.verdict for row in scored] == ["correct", "incorrect", None, None, "correct"]
    assert scored[3].answer == "It is red"
    assert answer_metrics(scored, "match", "_deployed") == {
        "n_questions": 5,
        "match_deployed_n_correct": 2,
        "match_deployed_n_unscored": 2,
        "match_deployed_pct": 40.0,  # 2 of all 5
    }


def test_figures_of_no_answers_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"^match: no answers to score; "):
        answer_metrics([], "match")
