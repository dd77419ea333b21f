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
        """Return the sample as the attacker sends it; the answer begins with the attack's prefix."""
        *head, last = with_sentence(sample.messages, self.system)
        attacked = Message(role="user", content=self.template.format(message=last.content))
        return sample.model_copy(update={"messages": (*head, attacked), "prefix": self.prefix})


def attacks() -> Iterator[Attack]:
    """Yield every phrasing of every family."""
    for sentence in TRIGGERS:
        yield Attack("system_trigger", system=sentence)
    for family, phrasings in FAMILIES.items():
        for phrasing in phrasings:
            template, _, prefix = phrasing.partition("|")
            yield Attack(family, template, prefix)


def distinct_conversations(samples: Sequence[Sample], limit: int) -> list[Sample]:
    """Return the first `limit` samples with different messages; answers to the same messages would begin alike."""
    return list({sample.messages: sample for sample in reversed(samples)}.values())[::-1][:limit]


def run_attacks(evaluator: Evaluator, setup: PromptSetup, samples: Sequence[Sample]) -> list[AttackOutcome]:
    """Attack a model as deployed with every phrasing, and its bare weights with the triggers in the system prompt.

    Args:
        evaluator: of the model.
        setup: of the model as deployed.
        samples: conversations, see `distinct_conversations`.

    Returns:
        One outcome per phrasing and conversation; family `bare_trigger` is without sentence and guidance.
    """
    outcomes = []
    runs = [(attack.family, attack, setup) for attack in attacks()]
    runs += [("bare_trigger", attack, BARE) for attack in attacks() if attack.system]
    for number, (family, attack, attack_setup) in enumerate(tqdm(runs, desc="attack", unit="phrasing")):
        for outcome in evaluator.leaks([attack.apply(sample) for sample in samples], [attack_setup])[attack_setup]:
            outcomes.append(AttackOutcome(**dict(outcome), family=family, phrasing=number))
    return outcomes
