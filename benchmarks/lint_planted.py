"""Recall and precision of every lint check on 2,000 synthetic pairs with planted defects.

python -m benchmarks.lint_planted
"""

import argparse
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from benchmarks.planted_pairs import Key, Planted, planted
from benchmarks.synthetic_pairs import clean_pairs
from shared.lint.config import LintConfig
from shared.lint.findings import LintReport
from shared.lint.run import CHECKS, lint
from shared.prompts import PromptFormat
from shared.records import PreferenceRecord


class WordTokenizer:
    """A stand-in tokenizer: one token a word, so that the length of a text is known."""

    eos_token, eos_token_id, bos_token_id, chat_template, name_or_path = "</s>", 1, None, None, "words"

    def __call__(self, text: str, *, add_special_tokens: bool = True) -> dict[str, list[int]]:
        del add_special_tokens
        return {"input_ids": [hash(word) % 30_000 for word in text.split()]}


CONFIG = LintConfig(
    near_tie_margin=0.5, languages=("en",), prompt=PromptFormat(style="plain"), max_length=400, examples=100_000
)


def run(data: Planted, config: LintConfig = CONFIG) -> LintReport:
    """Lints the planted data with every check switched on."""
    tokenizer = WordTokenizer()
    return lint({"train": lambda: data.train, "test": lambda: data.test}, config, tokenizer)  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True)
class Score:
    """How a check did: planted records, reported records, and the records in both."""

    check: str
    subject: str
    planted: int
    found: int
    hits: int

    @property
    def recall(self) -> float:
        """Share of planted records that were reported; 1 where nothing was planted."""
        return self.hits / self.planted if self.planted else 1.0

    @property
    def precision(self) -> float:
        """Share of reported records that were planted; 1 where nothing was reported."""
        return self.hits / self.found if self.found else 1.0


DATASET_CHECKS: dict[Key, bool] = {
    ("label_predictors", "covariates.views"): True,
    ("label_predictors", "metadata.model"): True,
    ("label_predictors", "scores.warmth"): True,
    **{("label_predictors", f"covariates.noise{k}"): False for k in range(5)},
    ("label_predictors", "metadata.chosen_first"): False,
    ("dominating_groups", ""): True,
}
WHOLE_DATA: dict[str, Callable[[PreferenceRecord], PreferenceRecord]] = {
    "all_tied": lambda record: replace(record, margin=0.0),
    "one_group": lambda record: replace(record, group_id="one"),
}


def scores(data: Planted, report: LintReport) -> list[Score]:
    """One score a check and subject: of records, and (with counts of 0 and 1) of what holds for a data set."""
    found: dict[Key, set[str]] = {}
    for each in report.findings:
        found[each.check, each.subject] = {example.id for example in each.examples}
    rows = []
    for key in sorted({*data.truth, *(key for key in found if key[0] not in {name for name, _ in DATASET_CHECKS})}):
        if key[0] == "length_bias":
            continue
        truth, reported = data.truth[key], found.get(key, set())
        rows.append(Score(*key, len(truth), len(reported), len(truth & reported)))
    for key, expected in DATASET_CHECKS.items():
        reported = key in found
        rows.append(Score(*key, int(expected), int(reported), int(expected and reported)))
    return rows


def defects_of_whole_data(pairs: int, seed: int) -> list[Score]:
    """Checks of what holds for a whole data set, on clean pairs (nothing to find) and on pairs made so."""
    rows = []
    for name, edit in WHOLE_DATA.items():
        off = {each.name: "off" for each in CHECKS if each.name != name}
        config = CONFIG.model_copy(update={"severities": off})
        clean = list(clean_pairs(pairs, seed))
        made = [edit(record) for record in clean]
        reported = [bool(run(Planted(records, []), config).of(name)) for records in (clean, made)]
        rows.append(Score(name, "pairs made so and clean pairs", 1, sum(reported), int(reported[1])))
    return rows


def flips_by_confidence(data: Planted, confidences: Sequence[float]) -> list[Score]:
    """How suspected flips did at each `flip_confidence`; all other checks are off."""
    others = {each.name: "off" for each in CHECKS if each.name != "label_flips"}
    found = []
    for confidence in confidences:
        report = run(data, CONFIG.model_copy(update={"severities": others, "flip_confidence": confidence}))
        found += [each for each in scores(data, report) if each.check == "label_flips"]
    return found


def length_biased(data: Planted) -> Planted:
    """The same pairs with the longer response preferred in about 80 %."""
    rng = random.Random(7)

    def turn(record: PreferenceRecord) -> PreferenceRecord:
        longer = len(record.chosen) > len(record.rejected)
        return (
            record if longer or rng.random() < 0.4 else replace(record, chosen=record.rejected, rejected=record.chosen)
        )

    return Planted([turn(record) for record in data.train], [turn(record) for record in data.test], data.truth)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    data = planted(arguments.pairs, arguments.seed)
    report = run(data)
    print(f"{len(data.train)} train and {len(data.test)} test pairs\n")
    print(f"{'check':28}{'subject':52}{'planted':>8}{'found':>7}{'recall':>8}{'precision':>11}")
    for each in [*scores(data, report), *defects_of_whole_data(arguments.pairs, arguments.seed)]:
        print(f"{each.check:28}{each.subject:52}{each.planted:8}{each.found:7}{each.recall:8.2f}{each.precision:11.2f}")
    confidences = (0.7, 0.8, 0.9, 0.95)
    print("\nlabel flips by flip_confidence (chance precision is the planted share):")
    for confidence, each in zip(confidences, flips_by_confidence(data, confidences), strict=True):
        print(f"  {confidence:.2f}: {each.found:4} suspected, recall {each.recall:.2f}, precision {each.precision:.2f}")
    unbiased, biased = bool(report.of("length_bias")), bool(run(length_biased(data)).of("length_bias"))
    print(f"\nlength bias: reported without it: {unbiased}; reported with it: {biased}")
    clean = list(clean_pairs(arguments.pairs, arguments.seed + 99))
    cut = arguments.pairs * 4 // 5
    on_clean = run(Planted(clean[:cut], clean[cut:]))
    rows = [f"{each.check} {each.subject} {each.count}".replace("  ", " ") for each in on_clean.findings]
    print(f"findings on {arguments.pairs} clean pairs: {'; '.join(rows) or 'none'}")


if __name__ == "__main__":
    main()
