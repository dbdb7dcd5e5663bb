"""Fine-tuning steps: their loss against one computed branch by branch, and that the cut does not matter."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from domains.translation.msft import MsftTrainer, trainer
from domains.translation.msft_config import MsftConfig
from domains.translation.pair_files import write_pairs
from domains.translation.policy import SimulPolicy
from domains.translation.prefix_sampling import DrawnSentence
from domains.translation.records import SentencePair
from domains.translation.streams import Stream, pack_streams
from shared.errors import DataError, UsageError
from shared.training.custom_job import CustomJob, DomainConfig
from shared.training.step_order import Step
from tests.domains.translation.path_cases import FORMAT, path_pairs_of, saved_policy
from tests.shared.training.tiny_architectures import relative_differences

LATENCY = FORMAT.model_copy(update={"before": "de {latency}:", "latency_word": "low"})


def job_of(folder: Path, model: Path, pairs: Sequence[SentencePair], **config: Any) -> CustomJob:
    folder.mkdir(parents=True, exist_ok=True)
    write_pairs(folder / "pairs.arrow", pairs)
    told: dict[str, Any] = {
        "learning_rate": 1e-3,
        "batch_size": 4,
        "micro_batch_tokens": 400,
        "lora": None,
        "scheduler": "constant",
        "warmup_ratio": 0.0,
        "save_steps": 1000,
    }
    config = MsftConfig(**(told | config)).model_dump(mode="json")
    return CustomJob(
        model=model,
        model_name="tiny",
        output=folder / "out",
        seed=1,
        precision="float32",
        builder="domains.translation.msft:trainer",
        files={"pairs": folder / "pairs.arrow"},
        settings={"format": (LATENCY if config["policy"] == "latency-prompt" else FORMAT).model_dump(mode="json")},
        config=DomainConfig(**config),
    )


def built(job: CustomJob) -> MsftTrainer:
    return trainer(job, job.output.parent / "work", []).trainer


def warm(found: MsftTrainer) -> SimulPolicy:
    """The policy in training, its confidence away from 1/2."""
    policy: Any = found.model
    generator = torch.Generator().manual_seed(0)
    policy.confidence.weight.data.copy_(0.3 * torch.randn(policy.confidence.weight.shape, generator=generator))
    return policy


def gradients_of(found: MsftTrainer, step: Step) -> tuple[float, dict[str, Tensor]]:
    policy: Any = found.model
    policy.zero_grad()
    loss = found.training_step(policy, {"step": step})
    return float(loss), {
        name: value.grad.clone() for name, value in policy.named_parameters() if value.grad is not None
    }


def by_branch(policy: SimulPolicy, drawn: DrawnSentence, config: MsftConfig) -> Tensor:
    """The loss of a sentence, one branch a pass."""

    def of(stream: Stream, number: int) -> tuple[Tensor, Tensor, list[tuple[int, int]]]:
        branch = stream.branches[number]
        terms = policy.terms(pack_streams([Stream(stream.source, (branch,))], policy.format.target_position))
        return terms.logps, terms.write_logits, list(branch.states(stream.source.units))

    paths = [(stream, number) for stream in drawn.streams for number in range(len(stream.branches))]
    units = drawn.example.source.units
    if config.policy != "simul":
        total = torch.zeros(())
        for stream, number in paths:
            logps, odds, states = of(stream, number)
            total = total - logps.sum()
            if config.policy == "latency-prompt":
                for place, (segment, read) in enumerate(states):
                    if read < units:
                        writes = read == stream.branches[number].reads[segment]
                        total = total - logsigmoid(odds[place] if writes else -odds[place])
        return drawn.example.weight * total / len(paths)
    whole = of(*paths[0])[0]
    prefixes = torch.zeros(())
    for stream, number in paths[1:]:
        logps, odds, states = of(stream, number)
        branch = stream.branches[number]
        written = [states.index((segment, read)) for segment, read in enumerate(branch.reads)]
        gold, kind = drawn.example.gold, config.decisions
        guided = kind == "acceptance" or (kind == "path" and gold is not None)
        ratio = torch.zeros(len(branch.reads))
        for token, segment in enumerate(drawn.example.target.segment_of_tokens()):
            share = odds[written[segment]].sigmoid() if branch.reads[segment] < units else torch.ones(())
            share = share.detach() if guided else share
            prefixes = prefixes - (share * logps[token].exp() + (1 - share) * whole[token].exp()).log()
            ratio[segment] += (logps[token] - whole[token]).detach()
        for place, (segment, read) in enumerate(states):
            if read == units:
                continue
            write = odds[place].sigmoid()
            if not guided:
                prefixes = prefixes - config.confidence_weight * write.log()
                continue
            target = float(gold is None or read >= gold[segment])
            if kind == "acceptance":
                assert branch.probes == "none"
                target *= min(1.0, float(ratio[segment].exp()))
            both = target * write.log() + (1 - target) * (1 - write).log()
            prefixes = prefixes - config.decision_weight * both
    return drawn.example.weight * (prefixes / (len(paths) - 1) - whole.sum())


@pytest.mark.parametrize(
    ("policy", "decisions"),
    [("simul", "acceptance"), ("simul", "path"), ("simul", "sm2"), ("wait-k", "sm2"), ("latency-prompt", "sm2")],
)
def test_a_step_equals_its_sentences_branch_by_branch(
    tmp_path: Path, tiny_model: Path, policy: str, decisions: str
) -> None:
    pairs = [replace(pair, weight=1.0 + number % 2) for number, pair in enumerate(path_pairs_of(5))]
    pairs[1] = replace(pairs[1], target_path=None)
    options = {"policy": policy, "batch_size": 5, "prefixes": {"count": 3}}
    options |= {"decisions": decisions, "decision_weight": 0.7}
    found = built(job_of(tmp_path, tiny_model, pairs, **options))
    model, step = warm(found), found.steps[0]
    if policy == "simul":
        probes = {branch.probes for one in step.examples for stream in one.streams for branch in stream.branches}
        assert probes == ({"none", "path"} if decisions == "path" else {"none"})
    loss, gradients = gradients_of(found, step)
    tokens = sum(len(drawn.example.target.tokens) for drawn in step.examples)
    expected = sum((by_branch(model, drawn, found.config) for drawn in step.examples), torch.zeros(())) / tokens
    assert loss == pytest.approx(float(expected.detach()), rel=1e-5)
    model.zero_grad()
    expected.backward()
    wanted = {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
    if policy == "wait-k":
        assert float(wanted.pop("confidence.weight", torch.zeros(1)).abs().sum()) == 0
        gradients = {name: value for name, value in gradients.items() if not name.startswith("confidence")}
        wanted.pop("confidence.bias", None)
    assert max(relative_differences(gradients, wanted).values()) < 1e-4


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_cut_into_micro_batches_does_not_matter(tmp_path: Path, tiny_model: Path, smoothing: float) -> None:
    found = built(job_of(tmp_path, tiny_model, path_pairs_of(8), batch_size=8, label_smoothing=smoothing))
    warm(found)
    found.budget = 10**6
    loss, gradients = gradients_of(found, found.steps[0])
    found.budget = 16
    cut_loss, cut = gradients_of(found, found.steps[0])
    assert cut_loss == pytest.approx(loss, rel=1e-5)
    assert max(relative_differences(cut, gradients).values()) < 1e-4
    assert "confidence.weight" in gradients
    assert found._metrics["nll_prefix"] > 0


def test_smoothing_changes_the_loss_as_it_should(tmp_path: Path, tiny_model: Path) -> None:
    plain = built(job_of(tmp_path / "a", tiny_model, path_pairs_of(4)))
    smooth = built(job_of(tmp_path / "b", tiny_model, path_pairs_of(4), label_smoothing=0.1))
    for one in (plain, smooth):
        one.training_step(one.model, {"step": one.steps[0]})
    # A random model predicts all words alike: smoothing cannot change much, and it is not what is reported as nll.
    assert smooth._metrics["nll_full"] == pytest.approx(plain._metrics["nll_full"], rel=1e-6)
    assert smooth._metrics["loss_full"] != plain._metrics["loss_full"]
    assert smooth._metrics["loss_full"] == pytest.approx(plain._metrics["loss_full"], rel=0.05)


def test_gradient_checkpointing_and_adapters(tmp_path: Path, tiny_model: Path) -> None:
    lora = {"rank": 4}
    plain = built(job_of(tmp_path / "a", tiny_model, path_pairs_of(4), lora=lora))
    kept = built(job_of(tmp_path / "b", tiny_model, path_pairs_of(4), lora=lora, gradient_checkpointing=True))
    policy: Any = kept.model
    policy.activation_checkpointing_enable()
    for name, parameter in warm(plain).named_parameters():
        if "lora_B" in name:
            parameter.data.fill_(0.01)
    policy.load_state_dict(warm(plain).state_dict())
    found, wanted = gradients_of(kept, kept.steps[0]), gradients_of(plain, plain.steps[0])
    assert found[0] == pytest.approx(wanted[0], rel=1e-6)
    assert all("lora" in name or name.startswith("confidence") for name in wanted[1])
    assert max(relative_differences(found[1], wanted[1]).values()) < 1e-4


def test_a_policy_is_trained_on(tmp_path: Path, tiny_model: Path) -> None:
    from shared.training.config import LoraConfig

    start = saved_policy(tmp_path / "start", tiny_model, LoraConfig(rank=2))
    job = job_of(tmp_path, tiny_model, path_pairs_of(4))
    job.files["start"] = start
    found = built(job)
    trained = {name for name, value in found.model.named_parameters() if value.requires_grad}  # pyright: ignore
    assert trained
    assert all("lora" in name or name.startswith("confidence") for name in trained)
    assert bool(found.model.confidence.weight.detach().any())  # pyright: ignore
    job.settings["format"] = LATENCY.model_dump(mode="json")
    with pytest.raises(UsageError, match="was trained with another format"):
        built(job)


def test_mistakes_are_named(tmp_path: Path, tiny_model: Path) -> None:
    pairs = path_pairs_of(4)
    bare = [replace(pair, target_path=None) for pair in pairs]
    with pytest.raises(DataError, match=r"toy.de:1: prefixes.shape gold asks for a path"):
        built(job_of(tmp_path, tiny_model, bare, prefixes={"shape": "gold"}))
    assert built(job_of(tmp_path, tiny_model, bare)).steps[0].total == 4
    with pytest.raises(DataError, match=r"toy.de:1: the path has 1 entries"):
        built(job_of(tmp_path, tiny_model, [replace(pairs[0], target_path=(1,))]))
    length = len(pairs[0].target_text.split())
    with pytest.raises(DataError, match=r"toy.de:1: a path from 0"):
        built(job_of(tmp_path, tiny_model, [replace(pairs[0], target_path=(0,) * length)]))
    with pytest.raises(DataError, match="no training pair is left: all 4 are empty or longer"):
        built(job_of(tmp_path, tiny_model, pairs, max_length=16))
    job = job_of(tmp_path, tiny_model, pairs, policy="latency-prompt")
    job.settings["format"] = FORMAT.model_dump(mode="json")
    with pytest.raises(UsageError, match="asks for a format with a latency_word"):
        built(job)
    with pytest.raises(ValueError, match="wait_k asks for policy: wait-k"):
        MsftConfig(wait_k=3)
    with pytest.raises(ValueError, match="layout"):
        MsftConfig(layout="plain")


def test_long_and_empty_pairs_are_left_out_and_counted(tmp_path: Path, tiny_model: Path) -> None:
    pairs = path_pairs_of(4)
    pairs[1] = replace(pairs[1], target_text=" ".join(["lang"] * 60), target_path=None)
    pairs[2] = replace(pairs[2], target_text=" ", target_path=None)
    found = trainer(job_of(tmp_path, tiny_model, pairs, max_length=200), tmp_path / "work", [])
    assert (found.examples, found.truncated) == (2, 2)
    assert found.tokens == sum(
        len(one.example.source.prompt)
        + len(one.example.source.tokens)
        + len(one.example.source.marker)
        + len(one.example.target.tokens)
        for one in found.trainer.steps[0].examples
    )
