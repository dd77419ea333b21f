"""Synthetic chats full of personal data, with the place of every value: scenes filled with invented values."""

import random
from collections.abc import Callable, Mapping

from faker import Faker

from tightlip.dialogues.patterns import SCENES, VOCABULARY
from tightlip.dialogues.patterns import values as words
from tightlip.dialogues.patterns.scene import CHOICE, SLOT, Exchange, Scene
from tightlip.prompts import DEFAULT_SYSTEM
from tightlip.records import Dialogue, Entity, Role, Split, Turn, Value

PERSONA_TYPES = frozenset({"NAME", "ORG", "ADDRESS", "EMAIL", "PHONE"})
"""Types of the assistant's own values; dates, cities and numbers belong to one dialogue."""

MIDDLES = (0, 0, 1, 1, 1, 2)  # how many exchanges stand between opener and closer, equally likely


def synthesise(count: int, dev: float, test: float, seed: int) -> list[Dialogue]:
    """Invent dialogues with their ground truth; the same seed gives the same dialogues, byte for byte.

    No two dialogues share their wording, that is, all but their values. A user's values are their own; the people,
    firms, addresses, phones and e-mails that the assistant is first to name recur in all dialogues of their scene, as
    in the log of a business: these a model can remember, the others it can only repeat.

    Args:
        count: number of dialogues.
        dev, test: shares of the dialogues held out, exact up to rounding; the rest is for training.
        seed: decides the content and the split, independently of any global random state.

    Raises:
        ValueError: a split would be empty.
    """
    splits = _assign_splits(count, dev, test, seed)
    fake = Faker("en_US")
    fake.seed_instance(seed)
    personas = {scene: _persona(scene, fake) for scene in SCENES}
    seen: set[str] = set()
    dialogues = []
    for number, split in enumerate(splits, 1):
        scene, turns = _draw_new(fake, personas, seen)
        dialogues.append(Dialogue(id=f"d{number:05d}", domain=scene.domain, split=split, turns=turns))
    return dialogues


def _assign_splits(count: int, dev: float, test: float, seed: int) -> list[Split]:
    sizes: dict[Split, int] = {"test": round(count * test), "dev": round(count * dev)}
    sizes["train"] = count - sum(sizes.values())
    empty = [name for name, size in sizes.items() if size < 1]
    if empty:
        raise ValueError(
            f"{count} dialogues with dev = {dev} and test = {test} leave no dialogue for {', '.join(empty)}; "
            "raise dialogues.count or change dialogues.dev and dialogues.test"
        )
    splits = [name for name, size in sizes.items() for _ in range(size)]
    random.Random(seed).shuffle(splits)  # noqa: S311  (not for secrets)
    return splits


def _persona(scene: Scene, fake: Faker) -> "Cast":
    """Invent what the assistant may be first to name in a scene."""
    cast = Cast(fake)
    for exchange in (*scene.openers, *scene.middles, *scene.closers):
        for slot in SLOT.finditer(exchange.assistant):
            if slot["new"]:
                cast.value(slot["root"], slot["part"])
    return cast


def _draw_new(fake: Faker, personas: "Mapping[Scene, Cast]", seen: set[str]) -> tuple[Scene, tuple[Turn, ...]]:
    """Draw turns whose wording was not seen before; some 10⁷ wordings keep the expected number of draws near one."""
    while True:
        scene = fake.random.choice(SCENES)
        turns = _play(scene, Cast(fake, personas[scene]))
        wording = "\n".join(_wording(turn) for turn in turns)
        if wording not in seen:
            seen.add(wording)
            return scene, turns


def _wording(turn: Turn) -> str:
    text = turn.content
    for entity in reversed(turn.entities):
        text = f"{text[: entity.start]}<{entity.type}>{text[entity.end :]}"
    return text


def _play(scene: Scene, cast: "Cast") -> tuple[Turn, ...]:
    turns = [Turn(role="system", content=DEFAULT_SYSTEM)]
    for exchange in _chain(scene, cast.rng):
        turns += [_render("user", exchange.user, cast), _render("assistant", exchange.assistant, cast)]
    return tuple(turns)


def _chain(scene: Scene, rng: random.Random) -> list[Exchange]:
    count = min(rng.choice(MIDDLES), len(scene.middles))
    chosen = sorted(rng.sample(range(len(scene.middles)), count))
    chain = [rng.choice(scene.openers), *(scene.middles[index] for index in chosen)]
    known: frozenset[str] = frozenset()
    for exchange in chain:
        after = exchange.follow(known)
        assert after is not None, f"{scene.domain}, {scene.title}: an exchange refers to what nobody said"  # noqa: S101
        known = after
    return [*chain, rng.choice([closer for closer in scene.closers if closer.follow(known) is not None])]


def _render(role: Role, template: str, cast: "Cast") -> Turn:
    """Choose the wording, fill the slots and note where each value stands."""
    chosen = CHOICE.sub(lambda match: cast.rng.choice(match[1].split("|")), template)
    template = " ".join(chosen.split())
    content, entities, end = "", [], 0
    for slot in SLOT.finditer(template):
        content += template[end : slot.start()]
        if role == "assistant":
            cast.adopt(slot["root"], slot["part"])
        value = cast.value(slot["root"], slot["part"])
        start = len(content)
        content += value.value
        entities.append(Entity(type=value.type, value=value.value, start=start, end=len(content)))
        end = slot.end()
    return Turn(role=role, content=content + template[end:], entities=tuple(entities))


class Cast:
    """The values of one dialogue, invented when first used; no two share a word, so that a leak has one origin.

    Args:
        fake: what invents them.
        persona: values that the assistant may adopt.
    """

    def __init__(self, fake: Faker, persona: "Cast | None" = None) -> None:
        self.fake = fake
        self.rng: random.Random = fake.random
        self._values: dict[str, Value] = {}
        self._words: set[str] = set(persona._words) if persona else set()
        values = persona._values.items() if persona else ()
        self._persona = {name: value for name, value in values if value.type in PERSONA_TYPES}

    def adopt(self, root: str, part: str | None) -> None:
        """Take a slot's value from the persona, unless it is known already or belongs to somebody else by now."""
        for name in (root, f"{root}.{part}"):
            if name in self._persona and self._values.get(root, self._persona[root]) == self._persona[root]:
                self._values.setdefault(name, self._persona[name])

    def value(self, root: str, part: str | None = None) -> Value:
        """Value of a slot such as `city2`, or of a part of a person: `first`, `last`, `email`, `phone`."""
        if part == "email":
            return self._known(f"{root}.email", lambda: Value(type="EMAIL", value=self._email(root)))
        if part == "phone":
            return self._known(f"{root}.phone", lambda: Value(type="PHONE", value=self._phone()))
        value = self._known(root, lambda: self._invent(root.rstrip("0123456789")))
        if part is None:
            return value
        first, last = value.value.split(" ", 1)
        return Value(type="NAME", value={"first": first, "last": last}[part])

    def _known(self, name: str, invent: Callable[[], Value]) -> Value:
        while name not in self._values:
            value = invent()
            new = {word.strip(",").lower() for word in value.value.split()}
            if not new & self._words:
                self._words |= new
                self._values[name] = value
        return self._values[name]

    def _invent(self, kind: str) -> Value:
        if kind in words.ORGANISATIONS:
            return Value(type="ORG", value=self._organisation(kind))
        if kind in words.NUMBERS:
            type_, forms = words.NUMBERS[kind]
            return Value(type=type_, value=self.fake.bothify(self.rng.choice(forms), letters="ABCDEFGHJKLMNPRSTUVWXYZ"))
        if kind in _SINGLE:
            type_, invent = _SINGLE[kind]
            return Value(type=type_, value=invent(self))
        return Value(type="NAME", value=self._person())

    def _person(self) -> str:
        first = self._name(words.FIRST_NAMES, self.fake.first_name)
        return f"{first} {self._name(words.LAST_NAMES, self.fake.last_name)}"

    def _name(self, international: tuple[str, ...], american: Callable[[], str]) -> str:
        """A name from our international list or from Faker's American ones, but none that is also a word."""
        while True:
            name = self.rng.choice([self.rng.choice(international), american()])
            if name.lower() not in words.AMBIGUOUS_NAMES | VOCABULARY:
                return name

    def _email(self, root: str) -> str:
        first, last = self.value(root).value.lower().split(" ", 1)
        form = self.rng.choice(("{0}.{1}", "{0[0]}.{1}", "{0}_{1}", "{0}{2}", "{1}{2}"))
        user = form.format(first, last, self.rng.randint(10, 99))
        return f"{user}@{self.rng.choice(words.MAIL_HOSTS)}"

    def _phone(self) -> str:
        form = self.rng.choice(("{}-555-01##", "({}) 555-01##", "{} 555 01##"))
        return str(self.fake.numerify(form.format(self.rng.choice(words.AREA_CODES))))

    def _organisation(self, kind: str) -> str:
        stem = self._name(words.STEMS, self.fake.last_name)
        return self.rng.choice(words.ORGANISATIONS[kind]).format(stem)

    def _street(self) -> str:
        ours = f"{self.rng.choice(words.STREETS)} {self.rng.choice(words.STREET_ENDINGS)}"
        return f"{self.rng.randint(2, 980)} {self.rng.choice([ours, self.fake.street_name()])}"

    def _date(self) -> str:
        month, day = self.rng.choice(words.MONTHS), self.rng.randint(1, 28)
        return self.rng.choice((f"{month} {day}", f"{day} {month}"))

    def _birth(self, earliest: int, latest: int) -> str:
        month, day = self.rng.choice(words.MONTHS), self.rng.randint(1, 28)
        year = self.rng.randint(earliest, latest)
        return self.rng.choice((f"{month} {day}, {year}", f"{day} {month} {year}"))


_SINGLE: dict[str, tuple[str, Callable[[Cast], str]]] = {
    "born": ("DATE", lambda cast: cast._birth(1945, 2004)),
    "childborn": ("DATE", lambda cast: cast._birth(2013, 2020)),
    "city": ("LOC", lambda cast: cast.rng.choice(words.CITIES)),
    "date": ("DATE", Cast._date),
    "street": ("ADDRESS", Cast._street),
}
