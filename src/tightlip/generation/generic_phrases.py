"""Generic words for personal values, by kind and by the place they have to fit; data of the rewriter."""

import re


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(" ".join(text.split()).split(", "))


# Kind of a value by its type in the ground truth, by spaCy's label or by Presidio's; all others are ID.
KINDS = (
    dict.fromkeys(("NAME", "PERSON"), "NAME")
    | dict.fromkeys(("LOC", "GPE", "FAC", "LOCATION", "CITY", "COUNTRY"), "LOC")
    | dict.fromkeys(("ADDRESS", "STREET"), "ADDRESS")
    | dict.fromkeys(("ORG", "COMPANY"), "ORG")
    | dict.fromkeys(("EMAIL", "EMAIL_ADDRESS"), "EMAIL")
    | dict.fromkeys(("PHONE", "PHONE_NUMBER", "FAX"), "PHONE")
    | dict.fromkeys(("PLATE", "VEHICLE_ID"), "PLATE")
    | dict.fromkeys(("URL", "DOMAIN"), "URL")
    | dict.fromkeys(("MONEY", "PERCENT", "QUANTITY", "CARDINAL", "ORDINAL", "AGE"), "AMOUNT")
    | dict.fromkeys(("EVENT", "WORK_OF_ART", "LAW", "PRODUCT"), "THING")
    | {label: label for label in ("DATE", "TIME", "NORP", "LANGUAGE")}
)

# Noun phrases, which fit after a preposition or a verb, as subject and as apposition.
NOUNS = {
    "NAME": _phrases(
        """a colleague, a member of the team, a friend of mine, the person you named, the person in charge,
        the right person, your contact person, a contact of ours, someone from the team, the person you know,
        someone you can trust, one of our people, someone we both know, an old friend, the contact on file"""
    ),
    "LOC": _phrases(
        """the city, your home town, the area, the town you mentioned, your region, the city centre, the old town,
        the neighbourhood, the place you named, the same town, a town nearby, that part of the country"""
    ),
    "ADDRESS": _phrases(
        """the address on file, your address, the usual address, the place you named, the address you gave me,
        the place we agreed on, the right place, the address in our files, the place you know, the agreed address"""
    ),
    "ORG": _phrases(
        """the company, the firm, the office, the business you named, the organisation, the team, our partner company,
        the usual place, the people you know, a company nearby, the company you mentioned"""
    ),
    "DATE": _phrases(
        """the agreed day, that day, the day we agreed on, the day you named, the planned date, the date you chose,
        the day you prefer, the date on file, the date in your calendar, a day that suits you, the usual day"""
    ),
    "EMAIL": _phrases(
        """the address you gave me, the inbox you use, the e-mail on file, the usual mailbox, the mailbox you named,
        the address in your account, the e-mail address we have, the mail address on file, the usual address"""
    ),
    "PHONE": _phrases(
        """the number you gave me, the number on file, the usual number, the number you have, the number in our files,
        the main line, the service line, the number you know, the phone number we have, the direct line"""
    ),
    "ID": _phrases(
        """the number on file, the reference on file, the number you gave me, the reference you have,
        the number in our system, the usual reference, the number on your papers, the file we have, the entry on file,
        the number you know"""
    ),
    "PLATE": _phrases(
        """the car, your car, the vehicle, the car on file, the vehicle you named, the car you mentioned,
        the vehicle in our files, the registered car, the car in question"""
    ),
    "URL": _phrases(
        """our website, the website, the usual page, the page you know, the link you have, the site you named,
        the page in your account, the link I sent, the help page"""
    ),
    "AMOUNT": _phrases(
        """the usual amount, the agreed amount, the amount we discussed, the amount on file, the amount you named,
        the same amount, the amount in question, the full amount, the amount you know"""
    ),
    "THING": _phrases(
        """the thing you mentioned, the item in question, the one you named, the usual one, the one we discussed,
        the one on file, the item you chose, the one you know, the one in our files"""
    ),
    "TIME": _phrases(
        """the agreed time, the usual time, the time you named, the time we agreed on, the planned time,
        the time you chose, a good time, a time that suits you, the time on file"""
    ),
    "NORP": _phrases("local, regional, nearby, usual, typical, traditional, native, familiar"),
    "LANGUAGE": _phrases(
        """your language, the local language, the language you prefer, the usual language, another language,
        the same language, your own language, the language you know"""
    ),
}

# What an organisation is, by a word of its name, so that "the hotel" stays a hotel.
_ORG_HINTS = {
    r"bank|credit union|savings": "bank, branch, lender",
    r"clinic|hospital|health|medical": "clinic, practice, hospital, health centre",
    r"hotel|inn|suites|resort|hostel": "hotel, guest house, place you booked",
    r"bistro|trattoria|kitchen|grill|restaurant|cafe": "restaurant, kitchen, place you like",
    r"school|academy|college|institute|university": "school, college, place of study",
    r"airlines|airways|air|jet": "airline, carrier",
    r"insurance|mutual|assurance": "insurer, insurance company",
    r"homes|lettings|property|estates": "agency, letting agency",
    r"hall|gardens|pavilion|villa": "venue, hall, place you chose",
    r"store|market|outfitters|trading": "shop, store, retailer",
    r"works|services|brothers|sons": "workshop, service firm, contractor",
}
ORG_HINTS = [
    (re.compile(rf"\b(?:{words})\b", re.IGNORECASE), tuple(f"the {noun}" for noun in nouns.split(", ")))
    for words, nouns in _ORG_HINTS.items()
]

# "Dr. …" and "Professor …": the whole, and what can stand behind a title that is already said.
TITLED = {
    "dr": _phrases(
        """the doctor, your doctor, our doctor, the doctor on duty, the specialist, the physician,
        one of our doctors, the doctor you know"""
    ),
    "prof": _phrases(
        """the professor, your professor, the lecturer, the head of the course, your tutor, the course leader,
        one of our lecturers, the professor you know"""
    ),
}
AFTER_TITLE = _phrases("on duty, in charge, on call, on the team, from our team, at the desk, in attendance, on shift")

# An addressee who must stay, because the comma before it belongs to the prefix.
VOCATIVES = _phrases(
    "my friend, dear friend, friend, dear guest, dear customer, dear visitor, dear member, dear client, good friend"
)
DEAR = _phrases("customer, guest, friend, visitor, reader, member, client, all")

# After "I'm".
PERSONAS = _phrases(
    """your assistant, one of the team, your contact here, part of the team, here to help, on the support team,
    at your service, your guide here, the assistant on duty"""
)
# After "My name is".
NAMELESS = _phrases(
    """not important, on my badge, in our directory, on the letter, on file, at the end of this message,
    known to the team, easy to find, nothing you need to note"""
)

# Behind "ticket", "policy", "account" and the like; the second with an article before the noun.
NUMBERLESS = _phrases(
    "on file, in question, in our system, in our files, on your papers, from before, under your name, on record"
)
NUMBERLESS_THE = (*NUMBERLESS, *_phrases("you mentioned, you told me about, we discussed, you named, you have with us"))

# Behind a comma, where the value only adds to what stands before.
APPOSED = {
    "PHONE": _phrases(
        """reachable by phone, on the number you have, on the usual number, by phone, on the main line,
        on the number on file, on the direct line, with a number you know"""
    ),
    "EMAIL": _phrases(
        """reachable by e-mail, by e-mail, with the e-mail on file, at the usual address, at the mailbox you know,
        at the e-mail address on file, with the mail address we have, with an inbox of their own"""
    ),
}

# A time without a preposition.
SOON = _phrases(
    "soon, in due time, before long, as agreed, as planned, when it suits you, at the agreed time, in good time"
)

# Right behind "born", and behind "born on", "date of birth is" and the like.
BORN = _phrases(
    """on the date you gave me, on the date on file, as stated, on the day you named, on the date in our files,
    as noted before, on the day you told me, as in the papers"""
)
BIRTHS = _phrases(
    """the date you gave me, the date on file, the date in our files, the day you told me, the date in the papers,
    the date as stated, the date we have, the day you named"""
)

# Somebody whose name may be left out.
_ROLES = """colleague|driver|friend|contact|manager|adviser|advisor|agent|nurse|doctor|teacher|partner|wife|husband|
    son|daughter|brother|sister|mother|father|mum|mom|dad|boss|landlord|landlady|lawyer|neighbou?r|planner|technician|
    assistant|guide|host|dentist|therapist|guest|client|customer|patient|student|tutor|cousin|aunt|uncle|specialist|
    accountant|recruiter|supervisor|coach|chef|engineer|mechanic|builder|electrician|plumber|consultant|roommate"""
ROLE = re.compile(
    r"\b(?:my|your|our|the|his|her|their|a|an|another)\s+(?:[a-z]+\s+)?(?:" + "".join(_ROLES.split()) + r")$",
    re.IGNORECASE,
)

# Something whose number may be left out, by kind of number.
_NUMBERED = re.compile(
    r"\b(?:ticket|policy|account|booking|order|reservation|case|claim|flight|reference|file|passport|plate|car|card|"
    r"invoice|id|record|licen[cs]e|student|patient|member|mrn|ssn|(?:[a-z]+ )?number|no\.|nr\.)$",
    re.IGNORECASE,
)
NUMBERED = {"ID": _NUMBERED, "PLATE": _NUMBERED, "PHONE": re.compile(r"\b(?:[a-z]+ )?(?:number|line)$", re.IGNORECASE)}

ALL = frozenset(
    phrase
    for phrases in (
        *NOUNS.values(), *(nouns for _, nouns in ORG_HINTS), *TITLED.values(), AFTER_TITLE, VOCATIVES, DEAR, PERSONAS,
        NAMELESS, NUMBERLESS_THE, *APPOSED.values(), SOON, BORN, BIRTHS,
    )
    for phrase in phrases
)  # fmt: skip
"""Every phrase above."""
