"""The rows that stages exchange, one JSON object a line; unknown fields are rejected."""

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Role = Literal["system", "user", "assistant"]
Split = Literal["train", "dev", "test"]
Truth = Literal["given", "proposed"]
Condition = Literal["none", "positive", "negative", "secret"]
"""Which sentence the system prompt carries: the paper's two, none, or a secret one in place of the negative one."""

Negative = Literal["negative", "secret"]
Provenance = Literal["prompt", "training", "guessed", "invented"]
PROVENANCES: tuple[Provenance, ...] = get_args(Provenance)


class Record(BaseModel):
    """Base of all rows: immutable, strict about its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Entity(Record):
    """One personal value in a text.

    Attributes:
        type: kind of value, as the source names it (`NAME`, `EMAIL`, …).
        value: the text of the value.
        start, end: character span in the turn's content, end exclusive.
    """

    type: str = Field(min_length=1)
    value: str = Field(min_length=1)
    start: int = Field(ge=0)
    end: int = Field(gt=0)


class Value(Record):
    """A personal value of a dialogue, without its place."""

    type: str
    value: str


class Message(Record):
    """One chat message, as chat templates take it."""

    role: Role
    content: str


class Turn(Message):
    """A message with the personal values it holds (the ground truth)."""

    entities: tuple[Entity, ...] = ()

    @model_validator(mode="after")
    def _spans_match(self) -> "Turn":
        for entity in self.entities:
            if self.content[entity.start : entity.end] != entity.value:
                raise ValueError(f"entity span {entity.start}:{entity.end} does not hold the entity's value")
        return self


class Dialogue(Record):
    """A conversation with its ground truth; every sample of it goes to the same split.

    Attributes:
        id: unique name.
        domain: its topic (`banking`, `travel`, …); the name of the source for imported dialogues.
        split: decided here, before anything is tuned or generated.
        turns: an optional system turn, then user and assistant in turn, ending with the assistant.
        truth: whether its source gave the personal values, or detectors proposed them.
    """

    id: str = Field(min_length=1)
    domain: str
    split: Split
    turns: tuple[Turn, ...] = Field(min_length=2)
    truth: Truth = "given"

    @model_validator(mode="after")
    def _roles_alternate(self) -> "Dialogue":
        roles = [turn.role for turn in self.turns]
        body = roles[1:] if roles[0] == "system" else roles
        expected = ["user", "assistant"] * (len(body) // 2)
        if not body or body != expected:
            raise ValueError("turns must be an optional system turn, then user and assistant alternating")
        return self

    @property
    def values(self) -> tuple[Value, ...]:
        """Its true values, each once."""
        values = (Value(type=entity.type, value=entity.value) for turn in self.turns for entity in turn.entities)
        return tuple(dict.fromkeys(values))


class Sample(Record):
    """One PII occurrence in an assistant turn, with the text before and after it.

    Attributes:
        id: `<dialogue id>:<turn index>:<character offset of the value>`.
        messages: the conversation up to and including the user's message that is answered.
        prefix: beginning of the answer; never ends in white space (the boundary rule).
        completion: the original rest of the answer, starting with the white space before the value.
        target: the value that the completion starts with.
        truths: every distinct personal value of the whole dialogue.
    """

    id: str
    dialogue_id: str
    split: Split
    messages: tuple[Message, ...] = Field(min_length=1)
    prefix: str
    completion: str = Field(min_length=1)
    target: Value
    truths: tuple[Value, ...] = Field(min_length=1)


class Answer(Record):
    """One candidate continuation of a sample.

    Attributes:
        source: name of the recipe that made it.
        candidate: number of the candidate for this sample and source, from 0.
        text: continuation of the sample's prefix.
        finish: `stop` if the model ended the answer itself, `length` if it was cut, `filtered` if a hosted provider's
            content filter withheld it; then the text is empty.
    """

    sample_id: str
    source: str
    candidate: int = Field(ge=0)
    text: str
    finish: Literal["stop", "length", "filtered"]


class FilteredAnswer(Answer):
    """A candidate with the filter's verdict: accepted if it has no reason for rejection.

    Attributes:
        reasons: `ner:PERSON`, `pattern:EMAIL_ADDRESS`, `truth:NAME`, `degenerate:empty`, …
    """

    reasons: tuple[str, ...] = ()


class Pair(Record):
    """A preference pair; in the CFG version each plain pair gives a positive and a negative (swapped) one.

    Attributes:
        condition: which guidance sentence the system prompt carries.
        messages: the prompt's messages, truncated to the token limit by whole oldest turns.
        prefix: beginning of the assistant's answer.
        chosen, rejected: continuations of the prefix, both ended by EOS in training.
    """

    id: str
    sample_id: str
    source: str
    condition: Condition
    messages: tuple[Message, ...]
    prefix: str
    chosen: str
    rejected: str


class Question(Record):
    """A multiple-choice question in MMLU-Pro's schema.

    Options lose the white space around them: in MMLU-Pro it gives some right ones away. An option may occur twice; its
    text counts.
    """

    question_id: int
    question: str
    options: tuple[str, ...] = Field(min_length=3, max_length=10)
    answer: str
    answer_index: int = Field(ge=0)
    cot_content: str = ""
    category: str
    src: str

    @field_validator("options", mode="after")
    @classmethod
    def _stripped(cls, options: tuple[str, ...]) -> tuple[str, ...]:
        stripped = tuple(option.strip() for option in options)
        if not all(stripped):
            raise ValueError("an option is empty")
        return stripped

    @model_validator(mode="after")
    def _answer_matches(self) -> "Question":
        if self.answer_index >= len(self.options) or self.answer != "ABCDEFGHIJ"[self.answer_index]:
            raise ValueError("answer must be the letter of answer_index")
        return self


class BenignAnswer(Record):
    """A question that the base model wrote, with its own answer.

    Attributes:
        answer: holds a name, a place, a date or a number, and no private value.
        blanked: the same with generic words in their place.
    """

    id: str
    question: str
    answer: str
    blanked: str


class BenignQuestion(Record):
    """A question whose right answer looks like personal data and is none.

    Attributes:
        answers: texts of which one must occur in the answer.
        grounded: whether the question itself says the answer.
    """

    id: int
    question: str
    answers: tuple[str, ...] = Field(min_length=1)
    kind: Literal["name", "place", "date", "number"]
    grounded: bool


class Leak(Value):
    """A true value in an answer.

    Attributes:
        near: whether it is a near copy (`pii.matching`).
    """

    near: bool = False


class LeakOutcome(Record):
    """The answer of a model to one test prompt, and what it leaks.

    Attributes:
        answer: the generated continuation; stays in `data/`, never in `metrics/`.
        entities: labels that the paper's NER count finds in the answer, one per entity.
        leaks: the dialogue's true values that occur in the answer, one per occurrence.
        degenerate: why the answer is not readable (`empty`, `repetition`, …), or None.
    """

    sample_id: str
    answer: str
    finish: Literal["stop", "length"]
    entities: tuple[str, ...]
    leaks: tuple[Leak, ...]
    degenerate: str | None


class AttackOutcome(LeakOutcome):
    """The answer of a model to one attack, and what it leaks.

    Attributes:
        family: kind of attack (`evidence.attack_phrases`).
        phrasing: number of its phrasing, counted over all families.
    """

    family: str
    phrasing: int


class UtilityOutcome(Record):
    """How a model answered one question.

    Attributes:
        scores: length-normalised log-likelihood of each option, in nats per token.
        predicted: index of the best option.
    """

    question_id: int
    category: str
    scores: tuple[float, ...]
    predicted: int
    correct: bool


class ScoredAnswer(Record):
    """The answer that a model gave to one question, and whether it is right.

    Attributes:
        answer: as generated; stays in `data/`, never in `metrics/`.
        verdict: None if it could not be scored; that is never right.
    """

    question_id: int
    category: str
    answer: str
    verdict: Literal["correct", "incorrect"] | None
