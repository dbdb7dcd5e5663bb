"""What is lost when pairs are cut to the recipe's length under the recipe's tokenizer."""

from array import array
from typing import TYPE_CHECKING

import numpy as np

from shared.lint.figures import binned
from shared.lint.findings import Finding, Outcome, count_of, metric_name, per_cent
from shared.lint.pairs import Batch, PairTable
from shared.lint.registry import Check, Session, check
from shared.prompts import fit, tokenize_completion, tokenize_prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SIDES = ("prompt", "chosen", "rejected")


@check("truncation", severity="warning", needs=("tokenizer",), thresholds=("max_length", "truncated_share", "prompt"))
class Truncation:
    """Pairs that are cut, and the share of tokens lost, by side."""

    def __init__(self, session: Session) -> None:
        self._config = session.config
        self._tokenizer: PreTrainedTokenizerBase | None = session.tokenizer
        self._rows: list[int] = []
        self._cut = np.zeros(3, dtype=np.int64)
        self._lost, self._tokens = np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64)
        self._alike: list[int] = []
        self._lengths = array("i")
        self._prompt: tuple[int, list[int]] | None = None

    def observe(self, batch: Batch) -> None:
        assert self._tokenizer is not None  # what `needs` says
        assert self._config.max_length is not None
        for row, record in enumerate(batch.records, batch.first_row):
            key = hash(record.prompt)
            if self._prompt is None or self._prompt[0] != key:  # pairs of one prompt usually follow each other
                self._prompt = key, tokenize_prompt(self._config.prompt, record.prompt, self._tokenizer)
            prompt = self._prompt[1]
            both = [
                tokenize_completion(self._config.prompt, text, self._tokenizer)
                for text in (record.chosen, record.rejected)
            ]
            kept_prompt, kept = fit(prompt, both, self._config.max_length)
            before = np.array([len(prompt), *map(len, both)])
            lost = before - np.array([len(kept_prompt), *map(len, kept)])
            self._tokens += before
            self._lengths.append(int(before[0] + before[1:].max()))
            if lost.any():
                self._lost += lost
                self._cut += lost > 0
                self._rows.append(row)
                if kept[0] == kept[1] and both[0] != both[1]:
                    self._alike.append(row)

    def finish(self, table: PairTable) -> Outcome:
        n, count = max(1, len(table)), len(self._rows)
        share = count / n
        lost = self._lost / np.maximum(1, self._tokens)
        lengths = np.array(self._lengths) if self._lengths else np.zeros(1)
        by_side = {
            side: {"pairs_cut": int(self._cut[place]), "tokens_lost": float(lost[place])}
            for place, side in enumerate(SIDES)
        }
        quantiles = {str(level): float(np.quantile(lengths, level)) for level in (0.5, 0.9, 0.95, 0.99, 1.0)}
        outcome = Outcome(
            figures={
                "by_side": by_side,
                "length_quantiles": quantiles,
                "alike_after_cut": len(self._alike),
                "lengths": binned(lengths, bins=30),
                "max_length": self._config.max_length,
            },
            metrics={metric_name("truncation", "share"): share}
            | {metric_name("truncation", side, "tokens_lost"): float(lost[place]) for place, side in enumerate(SIDES)},
        )
        if count:
            sides = ", ".join(
                f"{side} {per_cent(float(lost[place]))} of its tokens in {int(self._cut[place]):,} pairs"
                for place, side in enumerate(SIDES)
                if self._cut[place]
            )
            message = (
                f"{count_of(count, 'pair')} ({per_cent(share)}) {'is' if count == 1 else 'are'} longer than "
                f"{self._config.max_length} tokens and {'is' if count == 1 else 'are'} cut (lost: {sides}): raise "
                f"max_length (95 % of pairs fit {quantiles['0.95']:.0f}) or leave these pairs out."
            )
            severity = "warning" if share >= self._config.truncated_share or self._alike else "info"
            outcome.findings.append(
                Finding("truncation", severity, count, share, message, examples=table.examples(self._rows))
            )
        if self._alike:
            message = (
                f"{count_of(len(self._alike), 'pair')} whose two responses are the same after the cut: nothing is left "
                "to prefer; raise max_length or leave them out."
            )
            examples = table.examples(self._alike)
            outcome.findings.append(
                Finding(
                    "truncation",
                    "warning",
                    len(self._alike),
                    len(self._alike) / n,
                    message,
                    "alike",
                    examples,
                )
            )
        return outcome


CHECKS: tuple[Check, ...] = (Truncation,)
