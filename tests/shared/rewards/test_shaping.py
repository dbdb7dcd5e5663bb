"""Potential-based shaping: the best policy of an enumerated MDP, expected gradients, where sentences end."""

import itertools
import random
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.rewards.shaping import (
    ShapingConfig,
    group_advantages,
    owners,
    prefixes,
    returns_to_go,
    sentence_rewards,
    sentences,
    shaped,
    spread,
)

STATES, ACTIONS, END = 4, 2, 3  # the last state ends the episode


def small_mdp(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(probability, reward) of every (state, action, next state); every step ends with 0.2 or more."""
    draw = np.random.default_rng(seed)
    moves = draw.dirichlet(np.ones(STATES), size=(STATES, ACTIONS))
    moves = 0.8 * moves
    moves[..., END] += 0.2
    return moves, draw.normal(size=(STATES, ACTIONS, STATES))


def values(moves: np.ndarray, rewards: np.ndarray, policy: Sequence[int], gamma: float) -> np.ndarray:
    """Value of every state under a deterministic policy, solved; the end has 0."""
    chosen = np.array([moves[state, policy[state]] for state in range(END)])
    earned = np.array([(moves[state, policy[state]] * rewards[state, policy[state]]).sum() for state in range(END)])
    return np.append(np.linalg.solve(np.eye(END) - gamma * chosen[:, :END], earned), 0.0)


def shaped_rewards(rewards: np.ndarray, potential: np.ndarray, gamma: float, weight: float) -> np.ndarray:
    found = np.empty_like(rewards)
    for state, action, following in np.ndindex(*rewards.shape):
        reward = float(rewards[state, action, following])
        found[state, action, following] = shaped(
            reward, float(potential[state]), float(potential[following]), gamma, weight
        )
    return found


@pytest.mark.parametrize("gamma", [1.0, 0.9])
@pytest.mark.parametrize("seed", range(5))
def test_every_policy_of_an_mdp_keeps_its_rank_and_the_best_stays_best(seed: int, gamma: float) -> None:
    """All 8 policies enumerated: shaping moves each one's value by -w Phi(s), so their order in every state stays."""
    moves, rewards = small_mdp(seed)
    potential = np.append(np.random.default_rng(seed + 100).normal(scale=3.0, size=END), 0.0)
    changed = shaped_rewards(rewards, potential, gamma, weight=2.0)
    policies = list(itertools.product(range(ACTIONS), repeat=END))
    before = np.array([values(moves, rewards, policy, gamma) for policy in policies])
    after = np.array([values(moves, changed, policy, gamma) for policy in policies])
    assert after == pytest.approx(before - 2.0 * potential, abs=1e-10)
    assert (before[:, :END].argmax(0) == after[:, :END].argmax(0)).all()


def test_a_potential_that_does_not_end_at_0_changes_what_is_best() -> None:
    """The test above can fail: a bonus for where an episode goes, without F's other half, is no potential."""
    changed_best = 0
    for seed in range(5):
        moves, rewards = small_mdp(seed)
        bonus = np.random.default_rng(seed + 100).normal(scale=3.0, size=STATES)
        policies = list(itertools.product(range(ACTIONS), repeat=END))
        before = [values(moves, rewards, policy, 1.0)[0] for policy in policies]
        after = [values(moves, rewards + bonus, policy, 1.0)[0] for policy in policies]
        changed_best += int(np.argmax(before) != np.argmax(after))
    assert changed_best > 0


numbers = st.floats(-5, 5)


@settings(deadline=None)
@given(reward=numbers, potentials=st.lists(numbers, max_size=6), gamma=st.floats(0.1, 1), weight=st.floats(0, 3))
def test_a_response_earns_what_it_earned_before(
    reward: float, potentials: list[float], gamma: float, weight: float
) -> None:
    rewards = sentence_rewards(reward, potentials, gamma, weight)
    assert len(rewards) == len(potentials) + 1
    returns = returns_to_go(rewards, gamma)
    count = len(rewards)
    expected = [
        gamma ** (count - 1 - k) * reward - weight * phi for k, phi in enumerate([0.0, *potentials])
    ]  # telescoped: -w Phi of the state the sentence is written in
    assert returns == pytest.approx(expected, abs=1e-9)
    assert returns_to_go(sentence_rewards(reward, potentials, 1.0, weight))[0] == pytest.approx(reward, abs=1e-9)


Text = tuple[int, ...]
WORDS, LONGEST = 2, 3  # a "sentence" is 0 or 1, 2 ends the response; at most three of them


def responses(states: Mapping[Text, np.ndarray]) -> list[tuple[Text, float]]:
    """Every response with its probability; actions that are taken are its sentences and, unless it is cut, the end."""
    found: list[tuple[Text, float]] = []

    def go_on(text: Text, probability: float) -> None:
        for action, share in enumerate(states[text]):
            taken = (*text, action)
            if action == WORDS or len(taken) == LONGEST:
                found.append((taken, probability * float(share)))
            else:
                go_on(taken, probability * float(share))

    go_on((), 1.0)
    return found


def expected_gradient(
    policy: Mapping[Text, np.ndarray],
    reward: Callable[[Text], float],
    phi: Callable[[Text], float],
    weight: float,
    gamma: float = 1.0,
) -> tuple[dict[Text, np.ndarray], float]:
    """(E of GRPO's unscaled gradient over all groups of two, in every state's logits; E of the advantages' squares)."""
    gradient = {state: np.zeros(WORDS + 1) for state in policy}
    square = 0.0
    for (one, p), (other, q) in itertools.product(responses(policy), repeat=2):
        potentials = [[phi(text[:k]) for k in range(1, len(text))] for text in (one, other)]
        advantages = group_advantages([reward(one), reward(other)], potentials, gamma, weight)
        for text, values_of in zip((one, other), advantages, strict=True):
            for k, action in enumerate(text):
                score = -policy[text[:k]].copy()
                score[action] += 1.0
                gradient[text[:k]] += p * q * values_of[k] * score
                square += p * q * float(values_of[k]) ** 2
    return gradient, square


def toy() -> tuple[dict[Text, np.ndarray], Callable[[Text], float]]:
    draw = np.random.default_rng(3)
    states = [text for length in range(LONGEST) for text in itertools.product(range(WORDS), repeat=length)]
    policy = {text: draw.dirichlet(np.ones(WORDS + 1)) for text in states}
    table = {text: float(draw.normal()) for text, _ in responses(policy)}
    return policy, table.__getitem__


@pytest.mark.parametrize("gamma", [1.0, 0.8])
def test_shaping_changes_no_expected_gradient(gamma: float) -> None:
    """Enumerated over all groups: exact, for a potential without sense too; the plain one is the policy gradient."""
    policy, reward = toy()
    draw = random.Random(1)
    senseless: dict[Text, float] = {}

    def phi(text: Text) -> float:
        return senseless.setdefault(text, draw.gauss(0, 4))

    plain, _ = expected_gradient(policy, reward, phi, 0.0, gamma)
    found, _ = expected_gradient(policy, reward, phi, 1.7, gamma)
    for state in policy:
        assert found[state] == pytest.approx(plain[state], abs=1e-12)
    assert max(float(np.abs(one).max()) for one in plain.values()) > 0.01
    # Two responses, each a half of its own baseline at gamma = 1: the gradient of J = E[R], by differences.
    if gamma == 1.0:
        state, logits = (0,), np.log(policy[(0,)])
        for action in range(WORDS + 1):
            moved = []
            for step in (1e-5, -1e-5):
                other = logits + step * np.eye(WORDS + 1)[action]
                changed = {**policy, state: np.exp(other) / np.exp(other).sum()}
                moved.append(sum(p * reward(text) for text, p in responses(changed)))
            assert plain[state][action] == pytest.approx((moved[0] - moved[1]) / 2e-5, abs=1e-8)


def test_a_potential_that_foresees_the_reward_lowers_the_variance() -> None:
    policy, _ = toy()

    def reward(text: Text) -> float:
        """Every sentence adds to it."""
        return sum(2.0 if action == 0 else -1.0 for action in text if action < WORDS)

    def value(text: Text) -> float:
        """What is to be expected from a state on."""
        if text and (text[-1] == WORDS or len(text) == LONGEST):
            return reward(text)
        return sum(float(share) * value((*text, action)) for action, share in enumerate(policy[text]))

    _, plain = expected_gradient(policy, reward, value, 0.0)
    _, found = expected_gradient(policy, reward, value, 1.0)
    assert found < 0.8 * plain


def test_without_potentials_it_is_grpo() -> None:
    rewards = [0.3, -1.0, 2.0]
    found = group_advantages(rewards, [[1.0, 2.0], [], [5.0]], weight=0.0)
    mean = np.mean(rewards)
    assert [list(one) for one in found] == [
        pytest.approx([reward - mean] * count) for reward, count in zip(rewards, (3, 1, 2), strict=True)
    ]
    assert spread(found) == pytest.approx(np.std(rewards, ddof=1))


def test_sentences_of_a_response() -> None:
    text = 'Good. Dr. Smith said "Yes." Then 3.5 for all… It works!! (Really.) Fine'
    ends = ("Good.", '"Yes."', "all…", "works!!", "(Really.)")
    assert prefixes(text) == [text[: text.index(end) + len(end)] for end in ends]
    assert prefixes("One.") == []
    assert prefixes("- sound\n- size\n\n1. First. Then") == [
        "- sound",
        "- sound\n- size",
        "- sound\n- size\n\n1. First.",
    ]
    assert prefixes("好。很好！”对") == ["好。", "好。很好！”"]
    assert prefixes("") == prefixes("  \n ") == []


@settings(deadline=None)
@given(st.text(alphabet='ab D r.!?… \n"”)。1', max_size=40), st.data())
def test_an_end_is_known_from_what_was_written_so_far(text: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(text)))
    assert sentences(text[:cut]) == [end for end in sentences(text) if end.known <= cut]


def test_tokens_belong_to_the_sentence_before_which_they_are_written() -> None:
    tokens = ["Go", "od", ".", " So", " it", ".", " Is"]
    text = "".join(tokens)
    found = owners(sentences(text), len(tokens) + 1, lambda count: len("".join(tokens[:count])))
    # " So" tells that a sentence ended: it is still compared with what was known before it.
    assert found == [0, 0, 0, 0, 1, 1, 1, 2]
    assert owners([], 3, lambda count: count) == [0, 0, 0]


def test_settings_are_checked() -> None:
    assert ShapingConfig().gamma == 1.0
    for wrong in ({"gamma": 0.0}, {"gamma": 1.1}, {"weight": -1.0}, {"kind": "other"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            ShapingConfig.model_validate(wrong)
