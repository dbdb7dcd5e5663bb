"""What an aligned policy does to the log-probabilities of held-out pairs, beside its reference.

Ranking accuracy and the idealised accuracy follow "Preference Learning Algorithms Do Not Learn Preference
Rankings" (arXiv 2405.19534); implicit rewards are those of DPO (arXiv 2305.18290).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from shared.evaluation.intervals import Estimate, Floats, Groups, bootstrap_mean, unavailable


@dataclass(frozen=True, slots=True)
class PairLogps:
    """Log-probabilities of a model on n pairs, in nats.

    Attributes:
        chosen_sum: log pi(y_w | x), summed over the completion's tokens [n].
        rejected_sum: log pi(y_l | x) [n].
        chosen_tokens: tokens of the chosen completion, end token included [n].
        rejected_tokens: tokens of the rejected completion [n].
    """

    chosen_sum: Floats
    rejected_sum: Floats
    chosen_tokens: Floats
    rejected_tokens: Floats

    @classmethod
    def of(
        cls,
        chosen_sum: ArrayLike,
        rejected_sum: ArrayLike,
        chosen_tokens: ArrayLike,
        rejected_tokens: ArrayLike,
    ) -> "PairLogps":
        """Makes float64 arrays of the four columns.

        Raises:
            ValueError: the columns are not equally long, or a completion has no token.
        """
        columns = [
            np.asarray(column, dtype=np.float64).reshape(-1)
            for column in (chosen_sum, rejected_sum, chosen_tokens, rejected_tokens)
        ]
        if len({column.size for column in columns}) > 1:
            raise ValueError(f"columns of different length: {[column.size for column in columns]}")
        if (columns[2] < 1).any() or (columns[3] < 1).any():
            raise ValueError("a completion without tokens has no length-normalised log-probability")
        return cls(*columns)

    def __len__(self) -> int:
        return self.chosen_sum.size


def ranking_outcomes(policy: PairLogps, reference: PairLogps, *, beta: float) -> dict[str, Floats]:
    """Every per-pair quantity, each an array [n]; means of them are the metrics, pairs of them the tests.

    Args:
        policy: log-probabilities under the policy.
        reference: log-probabilities under the reference, of the same completions.
        beta: DPO's beta, the scale of the implicit rewards r = beta (log pi - log pi_ref).

    Returns:
        - ``ranking_accuracy``: 1[log pi(y_w|x) >= log pi(y_l|x)]; ``ranking_accuracy_normalised``: the same
          with each side divided by its tokens;
        - ``reward_accuracy``: 1[r_w - r_l > 0], strictly: 0 for a policy that equals its reference;
        - ``reward_chosen``, ``reward_rejected``, ``reward_margin``: r_w, r_l and r_w - r_l, in nats times beta;
        - ``logps_chosen``, ``logps_rejected`` (nats a sequence), ``logps_chosen_per_token``,
          ``logps_rejected_per_token``, and their changes against the reference ``change_chosen``,
          ``change_rejected``;
        - ``difficulty``: c = log pi_ref(y_l|x) - log pi_ref(y_w|x); positive where the reference ranks wrongly.

        NaN stays NaN in each of them.

    Raises:
        ValueError: policy and reference differ in the number of pairs or in the tokens of a completion.
    """
    if len(policy) != len(reference):
        raise ValueError(f"{len(policy)} pairs of the policy and {len(reference)} of the reference")
    same_tokens = np.array_equal(policy.chosen_tokens, reference.chosen_tokens) and np.array_equal(
        policy.rejected_tokens, reference.rejected_tokens
    )
    if not same_tokens:
        raise ValueError("policy and reference scored completions of different lengths: not the same tokens")
    chosen_mean = policy.chosen_sum / policy.chosen_tokens
    rejected_mean = policy.rejected_sum / policy.rejected_tokens
    change_chosen = policy.chosen_sum - reference.chosen_sum
    change_rejected = policy.rejected_sum - reference.rejected_sum
    margin = beta * (change_chosen - change_rejected)
    return {
        "ranking_accuracy": _indicator(policy.chosen_sum - policy.rejected_sum, at_zero=1.0),
        "ranking_accuracy_normalised": _indicator(chosen_mean - rejected_mean, at_zero=1.0),
        "reward_accuracy": _indicator(margin, at_zero=0.0),
        "reward_chosen": beta * change_chosen,
        "reward_rejected": beta * change_rejected,
        "reward_margin": margin,
        "logps_chosen": policy.chosen_sum,
        "logps_rejected": policy.rejected_sum,
        "logps_chosen_per_token": chosen_mean,
        "logps_rejected_per_token": rejected_mean,
        "change_chosen": change_chosen,
        "change_rejected": change_rejected,
        "difficulty": reference.rejected_sum - reference.chosen_sum,
    }


def _indicator(values: Floats, *, at_zero: float) -> Floats:
    return np.where(np.isnan(values), np.nan, np.heaviside(values, at_zero))


@dataclass(frozen=True, slots=True)
class RankingReport:
    """Ranking metrics of a policy with intervals.

    Attributes:
        estimates: mean of every quantity of `ranking_outcomes`, by name.
        idealised_accuracy: what a perfectly optimised DPO policy would reach on these pairs with this
            reference; None where raters' votes are not known.
        beta: the beta of the implicit rewards.
    """

    estimates: dict[str, Estimate]
    idealised_accuracy: Estimate | None
    beta: float

    def to_json(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        return {
            "beta": self.beta,
            "idealised_accuracy": self.idealised_accuracy and self.idealised_accuracy.to_json(),
            "estimates": {name: estimate.to_json() for name, estimate in self.estimates.items()},
        }


def ranking_report(
    policy: PairLogps,
    reference: PairLogps,
    *,
    beta: float,
    groups: Groups = None,
    votes_share: ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> RankingReport:
    """Means of `ranking_outcomes` with intervals clustered by group, and the idealised accuracy.

    Args:
        policy: log-probabilities under the policy.
        reference: log-probabilities under the reference.
        beta: DPO's beta.
        groups: the group of each pair [n].
        votes_share: share of the raters who prefer the chosen response [n], NaN where a pair has no votes;
            None where there are none at all.
        level: confidence level.
        seed: of the resampling.
    """
    outcomes = ranking_outcomes(policy, reference, beta=beta)
    estimates = {name: bootstrap_mean(values, groups, level=level, seed=seed) for name, values in outcomes.items()}
    idealised = None
    if votes_share is not None:
        ideal = idealised_outcomes(reference, votes_share, beta=beta)
        voted = np.isfinite(np.asarray(votes_share, dtype=np.float64).reshape(-1))
        if voted.any():
            kept = None if groups is None else [group for group, known in zip(groups, voted, strict=True) if known]
            idealised = bootstrap_mean(ideal[voted], kept, level=level, seed=seed)
    return RankingReport(estimates, idealised, beta)


def idealised_outcomes(reference: PairLogps, votes_share: ArrayLike, *, beta: float) -> Floats:
    """1[log pi_ref(y_w)/pi_ref(y_l) + (1/beta) logit(a) >= 0] of each pair [n] (arXiv 2405.19534).

    Whether the policy that minimises the DPO loss exactly ranks the pair right. a is the share of raters for the
    chosen response, clipped to [.001, .999]; with one label a pair a would be 1 and this trivially 1, which is
    why it asks for votes. NaN where there are none.
    """
    from scipy.special import logit

    share = np.clip(np.asarray(votes_share, dtype=np.float64).reshape(-1), 0.001, 0.999)
    if share.size != len(reference):
        raise ValueError(f"{share.size} vote shares for {len(reference)} pairs")
    return _indicator(reference.chosen_sum - reference.rejected_sum + logit(share) / beta, at_zero=1.0)


def kl_to_reference(
    policy_logps: Sequence[ArrayLike],
    reference_logps: Sequence[ArrayLike],
    groups: Groups = None,
    *,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Estimate]:
    """KL(policy || reference) from the policy's own samples, by Schulman's estimators k1 and k3.

    With d = log pi(token) - log pi_ref(token): k1 = d is unbiased but noisy and may come out negative;
    k3 = exp(-d) - 1 + d is unbiased, never negative, and mostly less noisy (J. Schulman, "Approximating KL
    Divergence", 2020). Unbiased only for samples drawn from the policy itself: at temperature 1, without top-k
    or top-p. Other sampling must be stated beside the number.

    Args:
        policy_logps: for each sample, the log-probability of each sampled token under the policy.
        reference_logps: the same tokens under the reference.
        groups: the prompt of each sample.
        level: confidence level.
        seed: of the resampling.

    Returns:
        ``kl_k1_per_token``, ``kl_k3_per_token`` (mean over tokens, nats) and ``kl_k1_per_sequence``,
        ``kl_k3_per_sequence`` (mean over samples of the sum over tokens), with intervals clustered by prompt.
        Samples without tokens count as 0 in the latter and have no token in the former.

    Raises:
        ValueError: the two differ in the number of samples, or in the tokens of one.
    """
    if len(policy_logps) != len(reference_logps):
        counts = f"{len(policy_logps)} samples of the policy, {len(reference_logps)} of the reference"
        raise ValueError(counts)
    prompts = list(range(len(policy_logps))) if groups is None else list(groups)
    k1_tokens, k3_tokens, token_prompts, k1_sums, k3_sums = [], [], [], [], []
    for index, (policy, reference) in enumerate(zip(policy_logps, reference_logps, strict=True)):
        under_policy = np.asarray(policy, dtype=np.float64).reshape(-1)
        under_reference = np.asarray(reference, dtype=np.float64).reshape(-1)
        if under_policy.size != under_reference.size:
            raise ValueError(f"sample {index}: {under_policy.size} and {under_reference.size} tokens")
        d = under_policy - under_reference
        with np.errstate(over="ignore"):  # a token impossible under the policy: infinite, and reported so
            k3 = np.expm1(-d) + d
        k1_tokens.append(d)
        k3_tokens.append(k3)
        token_prompts.extend([prompts[index]] * d.size)
        k1_sums.append(float(d.sum()))
        k3_sums.append(float(k3.sum()))
    if not k1_tokens:
        none = unavailable("no samples", 0, level)
        names = ("kl_k1_per_token", "kl_k3_per_token", "kl_k1_per_sequence", "kl_k3_per_sequence")
        return dict.fromkeys(names, none)
    return {
        "kl_k1_per_token": bootstrap_mean(np.concatenate(k1_tokens), token_prompts, level=level, seed=seed),
        "kl_k3_per_token": bootstrap_mean(np.concatenate(k3_tokens), token_prompts, level=level, seed=seed),
        "kl_k1_per_sequence": bootstrap_mean(k1_sums, prompts, level=level, seed=seed),
        "kl_k3_per_sequence": bootstrap_mean(k3_sums, prompts, level=level, seed=seed),
    }


def difficulty_threshold(difficulty: ArrayLike, *, beta: float) -> Floats:
    """The DPO loss at or below which a pair is ranked right: -log sigmoid(beta c) [n] (arXiv 2405.19534).

    Holds for the plain sigmoid loss only.
    """
    c = np.asarray(difficulty, dtype=np.float64).reshape(-1)
    return np.logaddexp(0.0, -beta * c)
