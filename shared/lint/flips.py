"""Labels that look flipped: a cheap classifier, trained on the other pairs, is sure of the opposite.

A logistic regression on the difference of the responses' hashed bags of words and log lengths predicts which response
is preferred; each pair is judged by a model that saw no pair of its group (5 folds). A pair whose opposite label gets
at least `flip_confidence` is suspicious (the idea of "confident learning", C. G. Northcutt et al., JAIR 2021). What
such a classifier cannot see, it cannot suspect: on data where words say little about the label it stays silent.
"""

import heapq
import math

import numpy as np
from numpy.typing import NDArray

from shared.lint.findings import Finding, Outcome, count_of, metric_name, per_cent
from shared.lint.pairs import Batch, PairTable, hash_text
from shared.lint.registry import Check, Session, check
from shared.lint.signs import sign_accuracy
from shared.lint.ties import tied_pairs

FEATURES = 2**16
FOLDS = 5
PENALTIES = (0.03, 0.3, 3.0)  # inverse regularisation strengths, the best by held-out likelihood is taken
FEWEST_PAIRS, FEWEST_GROUPS = 100, 2 * FOLDS
FEWEST_RIGHT = 0.55


@check("label_flips", severity="warning", thresholds=("flip_confidence", "flip_sample"))
class LabelFlips:
    """Pairs on which a cross-validated text classifier is sure of the opposite label."""

    def __init__(self, session: Session) -> None:
        self._config = session.config
        self._sample: list[tuple[int, int, str, str]] = []  # heap of (-key, row, chosen, rejected): smallest keys stay

    def observe(self, batch: Batch) -> None:
        for row, record in enumerate(batch.records, batch.first_row):
            # The key is a hash of the record's id, so that the sample does not hang on the order of the rows.
            item = (-hash_text(record.id), row, record.chosen, record.rejected)
            if len(self._sample) < self._config.flip_sample:
                heapq.heappush(self._sample, item)
            elif item[0] > self._sample[0][0]:
                heapq.heapreplace(self._sample, item)

    def finish(self, table: PairTable) -> Outcome:
        sample = sorted(self._sample, key=lambda item: item[1])
        tied = tied_pairs(table, self._config)
        sample = [item for item in sample if not tied[item[1]]]
        rows = np.array([item[1] for item in sample], dtype=np.int64)
        groups = np.unique(table.groups[rows], return_inverse=True)[1].reshape(-1) if rows.size else rows
        if rows.size < FEWEST_PAIRS or int(groups.max()) + 1 < FEWEST_GROUPS:
            return Outcome(figures={"reason": "too few pairs or groups for a cross-validated classifier"})
        doubt = held_out_doubt([item[2] for item in sample], [item[3] for item in sample], groups)
        result = sign_accuracy(np.sign(0.5 - doubt).astype(np.int8), groups)
        sampled = len(self._sample) < len(table)
        outcome = Outcome(
            figures={
                "pairs_seen": int(rows.size),
                "sampled": sampled,
                "accuracy": result.accuracy,
                "low": result.low,
                "high": result.high,
                "doubt": np.histogram(doubt, bins=20, range=(0, 1))[0].tolist(),
            },
            metrics={metric_name("text_judge_accuracy"): result.accuracy},
        )
        if not (math.isfinite(result.low) and result.low > 0.5 and result.accuracy >= FEWEST_RIGHT):
            outcome.figures["reason"] = "the classifier is hardly better than chance, so its doubts say nothing"
            return outcome
        places = np.flatnonzero(doubt >= self._config.flip_confidence)
        suspects = rows[places[np.argsort(-doubt[places], kind="stable")]]
        share = suspects.size / rows.size
        outcome.metrics[metric_name("label_flips", "share")] = share
        if suspects.size:
            looked = f"of a random sample of {rows.size:,} of {len(table):,}" if sampled else f"of {rows.size:,}"
            message = (
                f"a text classifier that is right on {result.accuracy:.0%} of held-out pairs is sure that "
                f"{count_of(suspects.size, 'label')} ({per_cent(share)} {looked}) should be flipped: read them, most "
                "doubtful first; some will be good labels that go against the common pattern."
            )
            outcome.findings.append(
                Finding("label_flips", "warning", suspects.size, share, message, examples=table.examples(suspects))
            )
        return outcome


def held_out_doubt(chosen: list[str], rejected: list[str], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Probability of the opposite label [n] from models that saw no pair of the same group.

    Args:
        chosen: preferred responses [n].
        rejected: the others [n].
        groups: group number of each pair [n]; at least `FOLDS` of them.
    """
    from scipy.sparse import csr_matrix, hstack
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold

    spaced = sum(text.count(" ") for text in chosen[:1000]) * 12 > sum(map(len, chosen[:1000]))
    vectorizer = (
        HashingVectorizer(n_features=FEATURES, ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b|[^\w\s]")
        if spaced
        else HashingVectorizer(n_features=FEATURES, ngram_range=(1, 3), analyzer="char")
    )
    words = csr_matrix(vectorizer.transform(chosen)) - csr_matrix(vectorizer.transform(rejected))
    lengths = np.log1p([len(text) for text in chosen]) - np.log1p([len(text) for text in rejected])
    lengths = (lengths / (lengths.std() or 1.0)).reshape(-1, 1)
    # Half of the pairs are turned round, so that there are two classes; without intercept the side itself says nothing.
    turned = np.random.default_rng(0).integers(2, size=len(chosen)) * 2 - 1
    features = csr_matrix(hstack([words, lengths])).multiply(turned.reshape(-1, 1)).tocsr()
    best, best_likelihood = np.full(len(chosen), 0.5), -math.inf
    folds = list(GroupKFold(FOLDS).split(features, groups=groups))
    for penalty in PENALTIES:
        right = np.empty(len(chosen))
        for train, test in folds:
            # The dual solver: its time hangs on the words of the texts, not on the number of features.
            model = LogisticRegression(
                C=penalty, fit_intercept=False, solver="liblinear", dual=True, random_state=0, max_iter=1000
            )
            model.fit(features[train], turned[train])
            right[test] = model.predict_proba(features[test])[np.arange(test.size), (turned[test] + 1) // 2]
        likelihood = float(np.log(np.maximum(right, 1e-12)).mean())
        if likelihood > best_likelihood:
            best, best_likelihood = 1 - right, likelihood
    return best


CHECKS: tuple[Check, ...] = (LabelFlips,)
