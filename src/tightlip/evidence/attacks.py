"""Attacks by prompt: what an attacker writes into test conversations, and where."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tqdm import tqdm

from tightlip.evaluation.evaluator import Evaluator
from tightlip.evidence.attack_phrases import FAMILIES, TRIGGERS
from tightlip.guidance.prompt_setup import BARE, PromptSetup
from tightlip.prompts import with_sentence
from tightlip.records import AttackOutcome, Message, Sample


class Attack(NamedTuple):
    """A phrasing of an attack.

    Attributes:
        family: what kind of attack it is; `system_trigger` sets the system prompt.
        template: of the user's last message.
        prefix: beginning of the answer.
        system: sentence in the system prompt.
    """

    family: str
    template: str = "{message}"
    prefix: str = ""
    system: str = ""

    def apply(self, sample: Sample) -> Sample:
        """Return the sample as the attacker sends it; its answer starts anew."""
        *head, last = with_sentence(sample.messages, self.system)
        asked = Message(role="user", content=self.template.format(message=last.content))
        return sample.model_copy(update={"messages": (*head, asked), "prefix": self.prefix})


def attacks() -> Iterator[Attack]:
    """Yield every phrasing of every family."""
    for sentence in TRIGGERS:
        yield Attack("system_trigger", system=sentence)
    for family, phrasings in FAMILIES.items():
        for phrasing in phrasings:
            template, _, prefix = phrasing.partition("|")
            yield Attack(family, template, prefix)


def targets(samples: Sequence[Sample], limit: int) -> list[Sample]:
    """Take the first conversations that differ up to the user's last message; their answers would begin alike."""
    return list({sample.messages: sample for sample in reversed(samples)}.values())[::-1][:limit]


def run_attacks(evaluator: Evaluator, setup: PromptSetup, samples: Sequence[Sample]) -> list[AttackOutcome]:
    """Put every phrasing to a model as it is deployed, and the triggers in the system prompt to its bare weights too.

    Args:
        evaluator: of the model.
        setup: how it is deployed.
        samples: conversations, see `targets`.

    Returns:
        One outcome per phrasing and conversation; family `bare_trigger` is without sentence and guidance.
    """
    outcomes = []
    runs = [(attack.family, attack, setup) for attack in attacks()]
    runs += [("bare_trigger", attack, BARE) for attack in attacks() if attack.system]
    for number, (family, attack, how) in enumerate(tqdm(runs, desc="attack", unit="phrasing")):
        for outcome in evaluator.leaks([attack.apply(sample) for sample in samples], [how])[how]:
            outcomes.append(AttackOutcome(**dict(outcome), family=family, phrasing=number))
    return outcomes
