"""Write a helpdesk's export for the walk-through: a CSV of invented tickets, one message a line.

Usage: python docs/your-model/make_export.py OUT [TICKETS]

Nothing in it says what is personal, some tickets begin with the agent's greeting and some end without an answer.
"""

import csv
import random
import sys
from pathlib import Path

from faker import Faker

OPENINGS = (
    "Hi, this is {name}. My parcel {order} never arrived at {street} in {city}.",
    "Good morning, {name} here. I was charged twice for order {order}, please look into it.",
    "Hello, I moved from {city} and need my contract {order} sent to my new address. I am {name}.",
    "My name is {name}, I ordered a lamp ({order}) and it came broken. You can call me at {phone}.",
    "Hey, {name} again about ticket {order}. Still no technician in {city}!",
    "I would like to cancel {order}. Name on the account: {name}, e-mail {email}.",
)
ANSWERS = (
    "Thank you, {name}. I have found {order} and sent a message to {email}.",
    "Sorry about that, {first}. {agent} from our {city} team will call you at {phone}.",
    "I see it, {first}: order {order} for {street}, {city}. It is on its way again.",
    "Of course. I noted {phone} and {email} for {name}; anything else?",
    "Dear {name}, the refund for {order} goes out today. Ask for {agent} if it does not arrive.",
)
FURTHER = (
    "Thanks. Who will be in touch?",
    "Is {phone} still the number you have?",
    "And where will it be sent?",
    "Could you repeat under which name and e-mail you have me?",
)
CLOSINGS = (
    "{agent} will, {first}. We have you as {name}, {email}.",
    "Yes, {phone}, and the address is {street}, {city}.",
    "To {street}, {city}, {first}. {agent} signs for it here.",
    "You are with us as {name}, {email}, customer number {order}.",
)
GREETING = "Welcome to Brightline support! How can I help?"


def ticket(fake: Faker, rng: random.Random, agents: list[str]) -> list[tuple[str, str]]:
    """Invent a ticket: who writes, and what."""
    name = f"{fake.first_name()} {fake.last_name()}"
    values = {
        "name": name,
        "first": name.split()[0],
        "email": f"{name.lower().replace(' ', '.')}@{fake.free_email_domain()}",
        "phone": fake.numerify("(###) 555-01##"),
        "street": f"{fake.building_number()} {fake.street_name()}",
        "city": fake.city(),
        "order": fake.bothify("??-######").upper(),
        "agent": rng.choice(agents),
    }
    texts = [("customer", rng.choice(OPENINGS)), ("agent", rng.choice(ANSWERS))]
    if rng.random() < 0.7:
        texts += [("customer", rng.choice(FURTHER)), ("agent", rng.choice(CLOSINGS))]
    if rng.random() < 0.2:
        texts.append(("customer", "Great, thank you!"))
    if rng.random() < 0.2:
        texts.insert(0, ("agent", GREETING))
    return [(author, text.format(**values)) for author, text in texts]


def main(out: Path, tickets: int) -> None:
    """Write the export."""
    fake, rng = Faker("en_US"), random.Random(7)  # noqa: S311  (not for secrets)
    fake.seed_instance(7)
    agents = [f"{fake.first_name()} {fake.last_name()}" for _ in range(4)]
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["ticket", "author", "text"])
        for number in range(1, tickets + 1):
            table.writerows((f"T{number:04d}", author, text) for author, text in ticket(fake, rng, agents))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 200)
