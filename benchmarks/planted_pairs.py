"""Synthetic preference pairs with planted defects whose records are known.

The base is clean English question-and-answer data whose label depends on what the responses say, so that a flipped
label can be told. Side effects are known too: a pair copied into the test split under another group is a leak *and* a
prompt in several groups.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from benchmarks.synthetic_pairs import FOREIGN, answer, clean_pairs
from shared.records import Message, PreferenceRecord, Votes

Key = tuple[str, str]  # check, subject


@dataclass
class Planted:
    """Records by split, and the ids that every check should find."""

    train: list[PreferenceRecord]
    test: list[PreferenceRecord]
    truth: defaultdict[Key, set[str]] = field(default_factory=lambda: defaultdict(set))


class _Planter:
    """Plants defects into records that have none yet, and notes which."""

    def __init__(self, n: int, seed: int) -> None:
        self.rng = random.Random(seed + 1)
        records = list(clean_pairs(n, seed))
        cut = n * 4 // 5
        self.done = Planted(records[:cut], records[cut:])
        # The first pair of each group of four stays clean.
        self.free = {
            "train": [place for place in range(len(self.done.train)) if place % 4],
            "test": [place for place in range(len(self.done.test)) if place % 4],
        }
        self.rng.shuffle(self.free["train"])
        self.rng.shuffle(self.free["test"])
        self.added = 0

    def change(
        self, count: int, split: str, edit: Callable[[PreferenceRecord], PreferenceRecord], *keys: Key
    ) -> list[PreferenceRecord]:
        """Changes free records of a split, and notes them under the keys."""
        records = getattr(self.done, split)
        changed = []
        for _ in range(count):
            place = self.free[split].pop()
            records[place] = edit(records[place])
            changed.append(records[place])
        self.note(changed, *keys)
        return changed

    def add(self, record: PreferenceRecord, split: str, *keys: Key) -> PreferenceRecord:
        """Adds a record with an id of its own."""
        self.added += 1
        record = replace(record, id=f"x{self.added}", source=f"planted:{self.added}")
        getattr(self.done, split).append(record)
        self.note([record], *keys)
        return record

    def note_shared_prompt(self, one: PreferenceRecord, two: PreferenceRecord) -> None:
        """Notes two records of different groups that share a prompt, or the first line of one."""
        texts = [record.prompt[0].content for record in (one, two)]
        same = texts[0] == texts[1]
        keys = [("prompt_in_several_groups", "whole prompt") if same else ("near_duplicate_prompts", "")]
        if not same and texts[0].splitlines()[0] == texts[1].splitlines()[0]:
            keys.append(("prompt_in_several_groups", "first line"))
        self.note([one, two], *keys)

    def note(self, records: Iterable[PreferenceRecord], *keys: Key) -> None:
        """Notes what should be found."""
        for key in keys:
            self.done.truth[key] |= {record.id for record in records}

    def pick(self, split: str = "train") -> PreferenceRecord:
        """A free record of a split, that is then no longer free."""
        return getattr(self.done, split)[self.free[split].pop()]

    def fresh(self, group: str) -> PreferenceRecord:
        """A clean pair of a new group."""
        pair = next(clean_pairs(1, self.rng.randrange(2**40)))
        return replace(pair, group_id=group)


def _insert(rng: random.Random, text: str, piece: str) -> str:
    """The text with a piece set between two of its sentences."""
    head, _, tail = text.partition(". ")
    return f"{head}. {piece} {tail}" if rng.random() < 0.5 else f"{text} {piece}"


def _in_response(rng: random.Random, pieces: list[str]) -> Callable[[PreferenceRecord], PreferenceRecord]:
    def edit(record: PreferenceRecord) -> PreferenceRecord:
        side = rng.choice(["chosen", "rejected"])
        return replace(record, **{side: _insert(rng, getattr(record, side), rng.choice(pieces))})

    return edit


def _one_word(rng: random.Random, text: str) -> str:
    words = text.split(" ")
    words[rng.randrange(2, len(words) - 2)] = rng.choice(["indeed", "certainly", "today", "somehow"])
    return " ".join(words)


IN_TEXT: dict[Key, list[str]] = {
    ("personal_data", "e-mail addresses"): [
        "Write to jane.doe@example.org.",
        "My address is j_doe+x@mail.example.co.uk",
    ],
    ("personal_data", "web addresses"): [
        "See https://example.org/a-page for more.",
        "www.example.net has it.",
        "Look at example.com please.",
    ],
    ("personal_data", "phone numbers"): [
        "Call (555) 010-0199.",
        "Ring 1-800-555-0199 now.",
        "Phone 555.010.0142 or so.",
        "Tel. +44 20 7946 0958.",
    ],
    ("personal_data", "social security numbers"): ["My number is 078-05-1120."],
    ("personal_data", "street addresses"): ["I live at 742 Evergreen Avenue.", "Come to 12 Old Mill Road."],
    ("personal_data", "professional credentials (sign-offs)"): [
        "Best wishes, Jane Doe, LMFT",
        "J. Doe, Ph.D.",
        "Jane, LCSW, Psy.D.",
    ],
    ("template_defects", "control tokens"): ["<|im_start|>assistant", "[INST] go on [/INST]", "<start_of_turn>model"],
    ("template_defects", "role labels"): ["\n\nHuman: and what now?", "\nAssistant: well.", "\nUser: thanks"],
    ("template_defects", "instruction headings"): ["\n### Response:\n", "\n### Instruction: go on"],
    ("markup_remains", "HTML tags"): ["<p>Take care.</p>", "Well,<br/>then.", '<a href="#x">here</a>'],
    ("markup_remains", "HTML entities"): ["You &amp; me.", "It&#39;s fine.", "A&nbsp;pause."],
    ("markup_remains", "control characters"): ["A\x0bbreak.", "Zero\u200bwidth.", "Bell\x07."],
    ("markup_remains", "broken decoding (mojibake)"): [
        "It doesn\u00e2\u20ac\u2122t matter.",
        "A caf\u00c3\u00a9 visit.",
        "Lost \ufffd letters.",
    ],
}


def planted(n: int = 2000, seed: int = 0) -> Planted:
    """The data set with its truth; `n` pairs (2,000 or more) before those that are added."""
    planter = _Planter(n, seed)
    for key, pieces in IN_TEXT.items():
        planter.change(12, "train", _in_response(planter.rng, pieces), key)
    _plant_in_texts(planter)
    _plant_in_labels(planter)
    for number in range(10):
        _plant_copies(planter, number)
        _plant_leaks(planter, number)
    hot = "Why do all ask this one question?\nIt comes up again and again."
    for _ in range(150):  # a group that dominates
        planter.add(replace(planter.fresh("hot"), prompt=(Message("user", hot),)), "train")
    _confound(planter)
    return planter.done


def _plant_in_texts(planter: _Planter) -> None:
    rng, change = planter.rng, planter.change

    def doubled(record: PreferenceRecord) -> PreferenceRecord:
        return replace(record, chosen=record.chosen + "<|im_end|><|im_end|>")

    def tell(record: PreferenceRecord) -> PreferenceRecord:
        opening = rng.choice(["As a therapist, ", "As an AI language model, "])
        return replace(record, rejected=opening + record.rejected)

    def foreign(record: PreferenceRecord) -> PreferenceRecord:
        return replace(record, chosen=f"{rng.choice(FOREIGN)} {rng.randrange(10**6)}")

    def long(record: PreferenceRecord) -> PreferenceRecord:
        return replace(record, chosen=" ".join(answer(rng, 0.6) for _ in range(12)))

    change(12, "train", doubled, ("template_defects", "doubled end tokens"), ("template_defects", "control tokens"))
    change(12, "train", tell, ("model_tells", 'openings such as "As an AI" or "As a therapist"'))
    change(10, "train", lambda r: replace(r, rejected=r.chosen.upper()), ("identical_responses", ""))
    change(10, "train", lambda r: replace(r, rejected=_one_word(rng, r.chosen)), ("near_identical_responses", ""))
    change(8, "train", lambda r: replace(r, rejected=" ... "), ("empty_text", "response"))
    change(8, "train", lambda r: replace(r, rejected="Yes."), ("empty_text", "short"))
    change(16, "train", foreign, ("wrong_language", "response"))
    change(16, "train", long, ("truncation", ""))


def _plant_in_labels(planter: _Planter) -> None:
    change = planter.change
    contested, against = ("contested_votes", ""), ("votes_against_label", "")
    change(20, "train", lambda r: replace(r, margin=0.0), ("ties", ""))
    change(20, "train", lambda r: replace(r, margin=0.3), ("near_ties", ""))
    change(24, "train", lambda r: replace(r, votes=Votes(5, 4, 1)), contested)
    change(10, "train", lambda r: replace(r, votes=Votes(2, 8, 0)), against, contested)
    for split, count in (("train", 60), ("test", 12)):
        change(count, split, lambda r: replace(r, chosen=r.rejected, rejected=r.chosen), ("label_flips", ""))


def _plant_copies(planter: _Planter, number: int) -> None:
    rng, add, note = planter.rng, planter.add, planter.note
    add(planter.pick(), "train", ("duplicate_pairs", ""))
    first = planter.pick()
    second = add(replace(first, chosen=first.rejected, rejected=first.chosen), "train", ("label_flips", ""))
    note([first, second], ("contradictory_pairs", ""))
    base = planter.fresh(f"cycle{number}")
    texts = [answer(rng, 0.5) for _ in range(3)]
    for place in range(3):
        pair = replace(base, chosen=texts[place], rejected=texts[(place + 1) % 3])
        add(pair, "train", ("preference_cycles", ""))
    # One prompt under two groups, then nearly the same prompt under two groups.
    for near in (False, True):
        one = add(planter.fresh(f"first{number}{near}"), "train")
        text = one.prompt[0].content
        prompt = (Message("user", _one_word(rng, text) if near else text),)
        planter.note_shared_prompt(one, add(replace(planter.fresh(f"second{number}{near}"), prompt=prompt), "train"))


def _plant_leaks(planter: _Planter, number: int) -> None:
    rng, add, fresh = planter.rng, planter.add, planter.fresh
    add(fresh(planter.pick().group_id), "test", ("leak_group", ""))

    seen = add(fresh(f"seen{number}"), "train")
    leaked = add(replace(fresh(f"unseen{number}"), prompt=seen.prompt), "test", ("leak_text", "prompt"))
    planter.note_shared_prompt(seen, leaked)

    seen = planter.pick()
    spaced = "  " + seen.chosen.replace(" ", "  ")
    leaked = add(replace(fresh(f"answered{number}"), rejected=spaced), "test", ("leak_text", "response"))
    planter.note([seen, leaked], ("duplicate_responses", ""))

    reworded = _one_word(rng, planter.pick().chosen)
    add(replace(fresh(f"reworded{number}"), chosen=reworded), "test", ("leak_near_text", "response"))

    seen = add(fresh(f"near{number}"), "train")
    prompt = (Message("user", _one_word(rng, seen.prompt[0].content)),)
    leaked = add(replace(fresh(f"likewise{number}"), prompt=prompt), "test", ("leak_near_text", "prompt"))
    planter.note_shared_prompt(seen, leaked)


def _confound(planter: _Planter) -> None:
    """Views are higher on the chosen side in 85 % of pairs; one model wins 75 % against the other."""
    rng = planter.rng
    for records in (planter.done.train, planter.done.test):
        for place, record in enumerate(records):
            low, high = rng.randrange(1000), 1000 + rng.randrange(1000)
            views = (high, low) if rng.random() < 0.85 else (low, high)
            models = ("large", "small") if rng.random() < 0.75 else ("small", "large")
            records[place] = replace(
                record,
                covariates_chosen={**record.covariates_chosen, "views": views[0]},
                covariates_rejected={**record.covariates_rejected, "views": views[1]},
                metadata={**record.metadata, "chosen_model": models[0], "rejected_model": models[1]},
            )
