"""Synthetic English questions and answers, and clean preference pairs of them, from a seed."""

import random
from collections.abc import Iterator, Sequence

from shared.records import Message, PreferenceRecord, Votes

WHO = [
    "mother",
    "father",
    "sister",
    "brother",
    "partner",
    "wife",
    "husband",
    "daughter",
    "son",
    "friend",
    "boss",
    "colleague",
    "neighbour",
    "teacher",
    "cousin",
]
FEELING = [
    "sad",
    "anxious",
    "angry",
    "lonely",
    "tired",
    "ashamed",
    "worried",
    "guilty",
    "numb",
    "afraid",
    "jealous",
    "bitter",
    "restless",
    "hurt",
    "confused",
]
MATTER = [
    "money",
    "work",
    "school",
    "sleep",
    "trust",
    "privacy",
    "food",
    "religion",
    "chores",
    "parenting",
    "drinking",
    "moving",
    "illness",
    "travel",
    "plans",
    "exams",
    "housing",
    "gossip",
    "debts",
    "holidays",
    "promises",
    "grades",
    "silence",
    "distance",
    "rent",
    "gaming",
]
WHEN = [
    "yesterday",
    "last week",
    "every evening",
    "for months",
    "since spring",
    "after dinner",
    "on Sundays",
    "most mornings",
    "since the move",
]
DEED = [
    "argued about",
    "kept quiet about",
    "cried over",
    "dreamed of",
    "joked about",
    "complained about",
    "thought about",
    "lied about",
    "apologised for",
    "wrote letters about",
    "shouted about",
    "gave up on",
    "asked questions about",
    "made plans for",
]
WARM = (
    "It sounds as if {matter} has weighed on you {when}.",
    "Feeling {feeling} about your {who} makes sense to me.",
    "What would it be like to tell your {who} that you feel {feeling}?",
    "You have carried {matter} and {matter2} a long way by yourself.",
    "Perhaps you could notice what happens {when} before you become {feeling}.",
    "I wonder which part of {matter} matters most to you and your {who}.",
    "Take small steps with {matter} and be kind to yourself when you are {feeling}.",
)
COLD = (
    "Just stop thinking about {matter} and move on.",
    "Everybody is {feeling} sometimes, so it is no real problem.",
    "Your {who} is obviously right about {matter}.",
    "You should have dealt with {matter} long before {matter2}.",
    "Go and ask your {who}, this is not my concern.",
    "Being {feeling} {when} is your own fault.",
    "There is nothing to say about {matter}, buy a book.",
)
PLAIN = (
    "Many people talk with a {who} about {matter}.",
    "The {who} in your story seems {feeling} {when}.",
    "Notes on {matter} and {matter2} may help {when}.",
    "Some couples plan {matter} together {when}.",
    "Your {who} {deed} {matter}, and then {deed2} {matter2}.",
)
FOREIGN = (
    "Das tut mir sehr leid, und ich verstehe gut, dass Sie sich in dieser Lage so allein fühlen und schlecht schlafen.",
    "Creo que sería bueno hablar con alguien de confianza sobre lo que está pasando en casa y en el trabajo.",
    "それはとてもつらいですね。まずは信頼できる人に話してみてください。ゆっくり休むことも大切です。",
    "Je comprends que cette situation soit difficile pour vous, et je pense qu'il faudrait en parler à votre famille.",
)


def sentence(rng: random.Random, frames: Sequence[str]) -> str:
    """A frame with its places filled."""
    return rng.choice(frames).format(
        who=rng.choice(WHO), feeling=rng.choice(FEELING), matter=rng.choice(MATTER), matter2=rng.choice(MATTER),
        when=rng.choice(WHEN), deed=rng.choice(DEED), deed2=rng.choice(DEED),
    )  # fmt: skip


def question(rng: random.Random) -> str:
    """A question of three or four sentences with a title line."""
    body = " ".join(
        f"{rng.choice(WHEN).capitalize()} my {rng.choice(WHO)} {rng.choice(DEED)} {rng.choice(MATTER)} and I "
        f"{rng.choice(DEED)} {rng.choice(MATTER)}."
        for _ in range(rng.randint(3, 4))
    )
    what = f"my {rng.choice(WHO)} {rng.choice(DEED)} {rng.choice(MATTER)} {rng.choice(WHEN)}"
    title = f"Why am I {rng.choice(FEELING)} when {what} and my {rng.choice(WHO)} {rng.choice(DEED)} it?"
    return f"{title}\n{body}"


def answer(rng: random.Random, warmth: float) -> str:
    """An answer of 5 to 9 sentences: neutral ones, and warm or cold ones in the given proportion."""
    frames = [
        WARM if rng.random() < warmth else COLD if rng.random() < 0.7 else PLAIN for _ in range(rng.randint(5, 9))
    ]
    return " ".join(sentence(rng, each) for each in frames)


def clean_pairs(n: int, seed: int = 0, per_group: int = 4) -> Iterator[PreferenceRecord]:
    """Pairs without planted defects: half of the answers of the preferred side are warmer, lengths are alike."""
    rng = random.Random(seed)
    prompt, group = "", ""
    for number in range(n):
        if number % per_group == 0:
            group, prompt = f"q{number // per_group}", question(rng)
        yield PreferenceRecord(
            id=f"p{number}",
            group_id=group,
            source=f"synthetic:{number + 1}",
            prompt=(Message("user", prompt),),
            chosen=answer(rng, rng.uniform(0.4, 0.8)),
            rejected=answer(rng, rng.uniform(0.1, 0.5)),
            margin=1 + rng.randrange(5),
            votes=Votes(rng.randint(7, 10), rng.randint(0, 2), rng.randint(0, 2)),
            scores_chosen={"warmth": 3 + rng.random()},
            scores_rejected={"warmth": 2.5 + rng.random()},
            covariates_chosen={f"noise{k}": rng.random() for k in range(5)},
            covariates_rejected={f"noise{k}": rng.random() for k in range(5)},
            metadata={"chosen_first": rng.randrange(2)},
        )
