"""The general preference model on small networks: antisymmetry, one table of K embeddings, the gate, saving."""

from pathlib import Path

import numpy as np
import pytest
import torch

from shared.errors import DataError
from shared.prompts import PromptFormat
from shared.records import Message
from shared.rewards.bodies import is_encoder
from shared.rewards.general_preference import GeneralPreferenceModel, log_odds
from shared.rewards.loading import load_reward
from shared.rewards.preference_network import PreferenceNetwork, load_network, new_network
from shared.rewards.protocol import ScalarReward, candidate_scores
from shared.rewards.rows import scorer_tokenizer
from shared.rewards.settings import SETTINGS_FILE, GpmConfig, GpmSettings

BODIES = ["tiny_model", "tiny_encoder"]
PROMPTS = [(Message("user", f"how is my {word}?"),) for word in ("sleep", "work", "rest and work", "day")]
FIRST = ["go to bed", "quit", "take a long walk with a friend", "fine"]
SECOND = ["read a book first", "talk to them", "eat", "it is not so good"]


def network(base: Path, gpm: GpmConfig) -> PreferenceNetwork:
    """Random heads, the gate's too: a new one weighs all planes alike."""
    torch.manual_seed(3)
    made = new_network(base, gpm)
    for head in (made.embedding_head, made.gate_head):
        if head is not None:
            torch.nn.init.normal_(head.weight, std=1.0)
    return made.eval()


@pytest.fixture(params=BODIES)
def base(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


def model_of(base: Path, max_length: int = 128, **options: object) -> GeneralPreferenceModel:
    gpm = GpmConfig.model_validate({"k": 2, **options})
    body = "encoder" if is_encoder(base) else "causal-lm"
    settings = GpmSettings(body=body, prompt=PromptFormat(), max_length=max_length, gpm=gpm)
    return GeneralPreferenceModel(network(base, gpm), scorer_tokenizer(base), settings, "float32")


@pytest.mark.parametrize("max_length", [128, 24], ids=["whole", "cut"])
@pytest.mark.parametrize("gate", [True, False])
@pytest.mark.parametrize("normalise", [True, False])
def test_exchanging_the_sides_changes_the_sign_exactly(
    base: Path, gate: bool, normalise: bool, max_length: int
) -> None:
    model = model_of(base, max_length, gate=gate, normalise=normalise)
    forward = model.compare(PROMPTS, FIRST, SECOND, batch_size=3)
    assert np.array_equal(forward, -model.compare(PROMPTS, SECOND, FIRST, batch_size=3))
    assert np.abs(forward).min() > 0
    assert np.array_equal(model.compare(PROMPTS, FIRST, FIRST), np.zeros(4))


def test_the_table_of_k_embeddings_holds_every_comparison(base: Path) -> None:
    model = model_of(base)
    responses = [*FIRST, *SECOND]
    ranking = model.rank(PROMPTS[0], responses)
    for i, a in enumerate(responses):
        found = model.compare([PROMPTS[0]] * len(responses), [a] * len(responses), responses)
        assert ranking.log_odds[i] == pytest.approx(found, abs=1e-4)
    assert np.array_equal(ranking.log_odds, -ranking.log_odds.T)


def test_log_odds_are_those_of_the_formula(base: Path) -> None:
    model = model_of(base, tau=0.3)
    v, gate = model.embed([PROMPTS[0]] * 2, [FIRST[0], SECOND[0]])
    operator = np.kron(np.eye(2), np.array([[0.0, -1.0], [1.0, 0.0]]))
    expected = (operator @ (np.repeat(gate[0], 2) * v[0])) @ v[1] / 0.3
    assert model.compare(PROMPTS[:1], FIRST[:1], SECOND[:1]) == pytest.approx(expected, rel=1e-9)
    assert gate.sum(axis=1) == pytest.approx(2)


def test_the_gate_depends_on_the_prompt_alone(base: Path) -> None:
    model = model_of(base)
    _, gate = model.embed([PROMPTS[0]] * 4, FIRST)
    assert gate == pytest.approx(np.repeat(gate[:1], 4, axis=0), abs=1e-6)
    _, others = model.embed(PROMPTS, [FIRST[0]] * 4)
    assert np.abs(others - others[0]).max() > 1e-3


def test_padding_changes_nothing(base: Path) -> None:
    model = model_of(base)
    together, _ = model.embed(PROMPTS, FIRST, batch_size=4)
    alone, _ = model.embed(PROMPTS, FIRST, batch_size=1)
    assert together == pytest.approx(alone, abs=1e-4)


def test_normalised_embeddings_have_length_one(base: Path) -> None:
    v, gate = model_of(base, normalise=True, gate=False).embed(PROMPTS, FIRST)
    assert np.linalg.norm(v, axis=1) == pytest.approx(1, abs=1e-6)
    assert np.array_equal(gate, np.ones((4, 2)))


def save(model: GeneralPreferenceModel, base: Path, folder: Path) -> None:
    network(base, model.settings.gpm).save_pretrained(folder)
    scorer_tokenizer(base).save_pretrained(folder)
    (folder / SETTINGS_FILE).write_text(model.settings.model_dump_json())


def test_saved_and_loaded_it_is_the_same(base: Path, tmp_path: Path) -> None:
    model = model_of(base)
    save(model, base, tmp_path / "rm")
    loaded = load_reward(tmp_path / "rm", precision="float32")
    assert not isinstance(loaded, ScalarReward)
    assert np.array_equal(loaded.compare(PROMPTS, FIRST, SECOND), model.compare(PROMPTS, FIRST, SECOND))


def test_weights_that_do_not_fit_are_refused(base: Path, tmp_path: Path) -> None:
    model = model_of(base)
    save(model, base, tmp_path)
    with pytest.raises(DataError, match="other shapes"):
        load_network(tmp_path, GpmConfig(k=3))
    with pytest.raises(DataError, match="does not hold all weights"):
        load_network(tmp_path, GpmConfig(k=2, gate=False))


def test_candidates_are_scored_against_their_table(base: Path) -> None:
    model = model_of(base)
    (scores, others) = candidate_scores(model, PROMPTS[:2], [FIRST, SECOND[:1]])
    table = model.rank(PROMPTS[0], FIRST).log_odds
    assert scores == pytest.approx(table.mean(axis=1))
    assert scores.sum() == pytest.approx(0, abs=1e-9)
    assert others.tolist() == [0.0]


def test_a_prompt_cut_differently_gives_the_mean_gate() -> None:
    first, second = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    found = log_odds(first, second, np.array([[0.5]]), np.array([[1.5]]), tau=0.5)
    assert found.tolist() == [2.0]


def test_a_gate_without_its_inputs_is_refused(tiny_model: Path) -> None:
    with pytest.raises(ValueError, match="prompt_last"):
        network(tiny_model, GpmConfig())(torch.tensor([[1, 2]]), last=torch.tensor([1]))
