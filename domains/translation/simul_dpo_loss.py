"""SimulDPO: preference optimisation of translation and read/write path together, with latency in the objective.

Whose is what:

- *SimulPL* (https://arxiv.org/abs/2502.00634), by its abstract: preference optimisation with latency in the objective,
  so that the read/write policy improves too. Its equations could not be read.
- *SM2* (https://arxiv.org/abs/2406.02237): the confidences that paths are made of.
- *DPO* (https://arxiv.org/abs/2305.18290) and its offset form (https://arxiv.org/abs/2402.10571): the loss.
- *Ours*: the path's log-probability (`path_logps`) as what DPO compares, and the two forms by which latency enters.

With ``rho(y, g) = log pi(y, g | x) - log pi_ref(y, g | x)``, w the chosen and l the rejected translation:

    none      -log sigmoid(beta [rho_w - rho_l])
    offset    -log sigmoid(beta [rho_w - rho_l] + alpha [Lat(g_w) - Lat(g_l)])
    explicit  -log sigmoid(beta [rho_w - rho_l]) + alpha E_theta[Lat(g_w)]

In ``offset`` Lat is a constant of the pair: the likelihood ratio must win by more where the chosen path is faster, by
less where it is slower. In ``explicit`` the expectation under the policy's own reading and writing is minimised.

A *differentiable* latency inside the sigmoid would do the opposite of what it is for: the loss falls as its argument
rises, and E_theta[Lat(g_w)] stands there with a plus, so descent would *raise* the chosen latency. Hence two forms.
"""

from typing import TYPE_CHECKING, Literal

from shared.training.objectives.likelihood import nll
from shared.training.objectives.offset import odpo
from shared.training.objectives.sigmoid import sigmoid
from shared.training.objectives.terms import Losses, PairTerms

if TYPE_CHECKING:
    from torch import Tensor

    from domains.translation.path_logps import PathLogps

Form = Literal["offset", "explicit", "none"]


def path_terms(
    chosen: "PathLogps",
    rejected: "PathLogps",
    ref_chosen: "Tensor",
    ref_rejected: "Tensor",
    latency_chosen: "Tensor",
    latency_rejected: "Tensor",
    weight: "Tensor | None" = None,
) -> PairTerms:
    """Paths as what the shared objectives are functions of; every tensor is [pairs].

    Args:
        chosen: the policy's log-probabilities of the chosen paths, with gradient.
        rejected: those of the rejected paths.
        ref_chosen: log pi_ref(y_w, g_w | x), nats.
        ref_rejected: log pi_ref(y_l, g_l | x).
        latency_chosen: Lat(g_w), constants.
        latency_rejected: Lat(g_l).
        weight: factor of each pair's loss; None is 1.

    Returns:
        Terms whose margin is Lat(g_l) - Lat(g_w): positive where the chosen path is faster.
    """
    return PairTerms(
        chosen=chosen.total,
        rejected=rejected.total,
        chosen_tokens=chosen.tokens,
        rejected_tokens=rejected.tokens,
        ref_chosen=ref_chosen,
        ref_rejected=ref_rejected,
        margin=(latency_rejected - latency_chosen).detach(),
        weight=weight,
    )


def offset(terms: PairTerms, *, beta: float, alpha: float) -> Losses:
    """``-log sigmoid(beta [rho_w - rho_l] + alpha [Lat(g_w) - Lat(g_l)])``.

    The shared offset objective with the identity, whose margin is Lat(g_l) - Lat(g_w).

    Args:
        terms: of `path_terms`.
        beta: strength of the pull to the reference.
        alpha: weight of latency, a unit of it in units of beta rho; 0 is DPO.
    """
    return odpo(terms, beta=beta, alpha=alpha, scale="identity")


def explicit(terms: PairTerms, expected: "Tensor", *, beta: float, alpha: float) -> Losses:
    """``-log sigmoid(beta [rho_w - rho_l]) + alpha E_theta[Lat(g_w)]``.

    Args:
        terms: of `path_terms`.
        expected: expected latency of the chosen translations, with gradient, [pairs].
        beta: strength of the pull to the reference.
        alpha: weight of latency; 0 is DPO.
    """
    losses, metrics = sigmoid(terms, beta=beta)
    return losses + alpha * expected, metrics


def simul_dpo(
    terms: PairTerms,
    *,
    form: Form,
    beta: float,
    alpha: float,
    sft_weight: float = 0.0,
    expected: "Tensor | None" = None,
) -> Losses:
    """Loss of every pair, with latency in the form asked for and a likelihood term beside it.

    Args:
        terms: of `path_terms`.
        form: how latency enters.
        beta: strength of the pull to the reference.
        alpha: weight of latency; with ``none`` it is not used, and 0 makes the others the same as ``none``.
        sft_weight: weight of ``-log pi(y_w, g_w | x) / |y_w|`` (the shared `nll`, as in RPO,
            https://arxiv.org/abs/2404.19733), which keeps the chosen path's own probability from falling.
        expected: expected latency of the chosen translations, asked for by ``explicit``, [pairs].

    Returns:
        (losses multiplied by the pairs' weights, metrics), each [pairs]; see
        `shared.training.objectives.implicit_rewards.reward_metrics`, and ``nll/chosen``, ``loss/preference``.

    Raises:
        ValueError: ``explicit`` without the expectation.
    """
    if form == "offset":
        losses, metrics = offset(terms, beta=beta, alpha=alpha)
    elif form == "none":
        losses, metrics = sigmoid(terms, beta=beta)
    elif expected is None:
        raise ValueError("the explicit form needs the expected latency")
    else:
        losses, metrics = explicit(terms, expected, beta=beta, alpha=alpha)
    metrics["loss/preference"] = losses.detach()
    likelihood, more = nll(terms)
    metrics["nll/chosen"] = more["nll/chosen"]
    if sft_weight:
        losses = losses + sft_weight * likelihood
    return (losses if terms.weight is None else losses * terms.weight), metrics
