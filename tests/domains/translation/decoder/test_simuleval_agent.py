"""The agent in the real SimulEval, against the batch decoder and our own metrics."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("simuleval")

from domains.translation.decoder.decode import decode
from domains.translation.decoder.rules import ReadRule, Threshold, WaitK
from domains.translation.decoder.settings import DecodingConfig
from domains.translation.latency.metrics import (
    average_lagging,
    average_proportion,
    differentiable_average_lagging,
    length_adaptive_average_lagging,
    padded,
)
from domains.translation.policy import SimulPolicy, save_policy
from domains.translation.simuleval_run import run_simuleval
from domains.translation.units import Unit, join_units
from shared.errors import StageError

CONFIG = DecodingConfig(batch_size=3, tokens_per_source_token=0.5, extra_tokens=6)


@pytest.fixture
def saved(
    tmp_path: Path, make_policy: Callable[..., SimulPolicy], simul_tokenizer: Any
) -> Callable[[Unit], tuple[SimulPolicy, Path]]:
    def make(unit: Unit) -> tuple[SimulPolicy, Path]:
        policy = make_policy("gemma3", target=unit, source=unit).float()
        save_policy(policy, tmp_path / "policy")
        simul_tokenizer.save_pretrained(tmp_path / "policy")
        return policy, tmp_path / "policy"

    return make


@pytest.mark.slow
@pytest.mark.parametrize(("unit", "rule"), [("word", Threshold(0.5)), ("char", WaitK(2))])
def test_simuleval_finds_our_delays_and_latency(
    unit: Unit, rule: ReadRule, saved: Any, simul_tokenizer: Any, source_texts: Any, tmp_path: Path
) -> None:
    policy, folder = saved(unit)
    texts = source_texts(6, unit)
    references = ["kk ll mm nn", "kk", "oo pp qq", "rr ss", "kk ll mm nn oo", "pp"]
    found = decode(
        policy, simul_tokenizer, [policy.format.source(simul_tokenizer, text) for text in texts], rule, CONFIG
    )
    result = run_simuleval(folder, None, texts, references, rule, tmp_path / "work", CONFIG, 600, "float32")
    assert len(result.sentences) == len(texts)
    for ours, theirs in zip(found, result.sentences, strict=True):
        assert theirs.delays.delays == ours.delays
        assert theirs.prediction == join_units(ours.units, unit)
        assert theirs.delays.source_length == ours.source_units
    assert len({one.delays for one in found}) > 1
    scored = [one.delays for one in result.sentences if one.delays.delays]
    table = padded([one.delays for one in scored])
    source = [one.source_length for one in scored]
    reference = [one.reference_length for one in scored]
    for name, values in (
        ("AL", average_lagging(table, source, reference)),
        ("LAAL", length_adaptive_average_lagging(table, source, reference)),
        ("AP", average_proportion(table, source, reference)),
        ("DAL", differentiable_average_lagging(table, source)),
    ):
        assert result.scores[name] == pytest.approx(float(values.mean()), abs=6e-4)


@pytest.mark.slow
def test_a_fault_is_told_in_one_sentence(saved: Any, tmp_path: Path) -> None:
    _, folder = saved("word")
    (folder / "confidence.safetensors").unlink()
    with pytest.raises(StageError, match=r"simuleval agent: .*confidence\.safetensors") as told:
        run_simuleval(folder, None, ["ab"], ["kk"], Threshold(0.5), tmp_path / "work", seconds=600)
    assert "Traceback" not in str(told.value)


def test_the_agent_file_works_by_path_and_by_class(
    saved: Any, simul_tokenizer: Any, source_texts: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What ``simuleval --agent FILE`` and ``--agent-class NAME`` do with their arguments, in this process."""
    import sys

    from simuleval.data.segments import EmptySegment, TextSegment
    from simuleval.utils import agent as loading

    policy, folder = saved("word")
    file = Path(__file__).parents[4] / "domains/translation/simuleval_agent.py"
    texts = source_texts(3)
    files = {name: tmp_path / name for name in ("source", "target")}
    for path in files.values():
        path.write_text("".join(text + "\n" for text in texts), encoding="utf-8")
    written = []
    for chosen in (["--agent", str(file)], ["--agent-class", "domains.translation.simuleval_agent.SimultaneousAgent"]):
        monkeypatch.setattr(loading, "EVALUATION_SYSTEM_LIST", [])
        monkeypatch.setattr("simuleval.utils.EVALUATION_SYSTEM_LIST", loading.EVALUATION_SYSTEM_LIST)
        command = ["simuleval", *chosen, "--policy", str(folder), "--rule", "wait-k:2", "--extra-tokens", "6"]
        command += ["--precision", "float32"]
        command += ["--tokens-per-source-token", "0.5", "--latency-metrics", "AL", "LAAL", "AP", "DAL"]
        command += [part for name, path in files.items() for part in (f"--{name}", str(path))]
        monkeypatch.setattr(sys, "argv", command)
        system, _ = loading.build_system_args()
        for text in texts:
            system.reset()
            delays = []
            words = text.split()
            for read, word in enumerate(words, 1):
                segment = system.pushpop(TextSegment(index=read - 1, content=word, finished=read == len(words)))
                assert segment.finished == (read == len(words))
                delays += [] if segment.is_empty else [read] * len(str(segment.content).split())
            written.append(tuple(delays))
        system.reset()
        assert system.pushpop(EmptySegment(finished=True)).finished
        with pytest.raises(SystemExit, match="float32"):
            system.to("cpu", fp16=True)
    sources = [policy.format.source(simul_tokenizer, text) for text in texts]
    expected = [one.delays for one in decode(policy, simul_tokenizer, sources, WaitK(2), CONFIG)]
    assert written == [*expected, *expected]
