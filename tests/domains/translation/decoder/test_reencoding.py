"""The benchmark's other side, and a real model: what is kept is what would be computed again."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.simultaneous_decoding import interval, reencoding, sentences
from domains.translation.decoder.decode import decode
from domains.translation.decoder.rules import Lsg, Threshold, WaitK
from domains.translation.decoder.settings import DecodingConfig
from domains.translation.policy import SimulPolicy
from domains.translation.settings import SimulFormat


@pytest.mark.parametrize("rule", [Threshold(0.5), Lsg(delta=0.1, alpha=0.9)], ids=str)
def test_reencoding_writes_the_same(
    rule: Any, make_policy: Callable[..., SimulPolicy], simul_tokenizer: Any, source_texts: Any
) -> None:
    policy = make_policy("gemma3")
    sources = [policy.format.source(simul_tokenizer, text) for text in source_texts(5)]
    config = DecodingConfig(batch_size=2, tokens_per_source_token=0.5)
    kept = decode(policy, simul_tokenizer, sources, rule, config, with_logps=True)
    with reencoding():
        again = decode(policy, simul_tokenizer, sources, rule, config, with_logps=True)
    for one, other in zip(kept, again, strict=True):
        assert (one.tokens, one.reads, one.cut) == (other.tokens, other.reads, other.cut)
        assert one.logps == pytest.approx(other.logps, abs=1e-9)


def test_sentences_have_the_words_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "lines.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write("a b c\n\nd e\nf g\n")
    assert sentences(path, 3, 2) == ["a b c", "d e f"]
    with pytest.raises(SystemExit, match="fewer than 8"):
        sentences(path, 4, 2)
    assert interval([2.0, 2.0]) == (2.0, 2.0)


@pytest.mark.slow
def test_gemma_3_translates_real_sentences_while_they_are_read(packaged_cache: Path, real_data: Path) -> None:
    """Random confidences, wait-k: the mechanics, at 262,144 tokens and with sliding windows of a real size."""
    from shared.models import load_causal_lm, load_tokenizer, resolve

    folder = resolve("gemma-3-270m", packaged_cache).path
    tokenizer = load_tokenizer(folder)
    torch.manual_seed(0)
    policy = SimulPolicy(load_causal_lm(folder), SimulFormat(source_language="de", target_language="en"))
    torch.nn.init.normal_(policy.confidence.weight, std=0.05)
    with gzip.open(real_data / "translation/multi30k/test_2016_flickr.de.gz", "rt", encoding="utf-8") as file:
        texts = [" ".join(next(file).split()[:7]) for _ in range(4)]
    sources = [policy.format.source(tokenizer, text) for text in texts]
    found = decode(policy, tokenizer, sources, WaitK(3), DecodingConfig(batch_size=3))
    for source, one in zip(sources, found, strict=True):
        assert one.units
        expected = [min(3 + segment, source.units) for segment in range(len(one.reads) - 1)]
        assert list(one.reads) == [*expected, source.units]
    with reencoding():
        again = decode(policy, tokenizer, sources[:1], WaitK(3), DecodingConfig())
    assert again[0].tokens == found[0].tokens
