"""Records of toy sentences, a supervised policy of random weights in a folder, and the judges' scripted server."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from domains.translation.pair_files import write_pairs
from domains.translation.policy import save_policy
from domains.translation.records import SentencePair
from domains.translation.settings import SimulFormat
from shared.stages import StageContext
from tests.domains.translation.decoder.conftest import make_policy, simul_tokenizer  # noqa: F401 - fixtures
from tests.shared.judges.conftest import Reply, completion, endpoint, says, server  # noqa: F401 - fixtures

WORDS = {
    "haus": "house", "baum": "tree", "hund": "dog", "katze": "cat", "sieht": "sees", "findet": "finds",
    "sucht": "seeks", "der": "the", "alte": "old", "kleine": "small", "garten": "garden", "heute": "today",
}  # fmt: skip
FORMAT = {
    "source_language": "de",
    "target_language": "en",
    "before": "To:",
    "marker": "\n=:",
    "target_position": 20,
}


def toy_record(number: int, rejected: bool = True, paths: bool = False) -> SentencePair:
    """A word-for-word translation; the rejected rendering has the same words in another order."""
    draw = random.Random(number)
    source = draw.sample(sorted(WORDS), draw.randint(4, 9))
    target = [WORDS[word] for word in source]
    other = list(reversed(target))
    return SentencePair(
        id=f"pair-{number}",
        group_id=f"group-{number}",
        source=f"toy.de:{number + 1}",
        source_text=" ".join(source),
        target_text=" ".join(target),
        rejected_text=" ".join(other) if rejected else None,
        target_path=tuple(range(1, len(source) + 1)) if paths else None,
        rejected_path=(len(source),) * len(source) if paths and rejected else None,
        weight=2.0 if number == 0 else 1.0,
        metadata={"topic": "toy"},
    )


def translation(text: str) -> Reply:
    """An answer of a model that was asked for a translation."""
    return completion(json.dumps({"translation": text}))


def sentence_of(body: dict[str, Any]) -> str:
    """The sentence that a request asks to translate."""
    return body["messages"][1]["content"].split("-sentence>\n")[1].split("\n</")[0]


def word_for_word(body: dict[str, Any]) -> str:
    """Its translation, upper-case at the beginning."""
    text = " ".join(WORDS[word] for word in sentence_of(body).split())
    return text[0].upper() + text[1:]


@pytest.fixture
def toy_records() -> Callable[..., list[SentencePair]]:
    """(count, rejected, paths) to records."""

    def make(count: int = 6, rejected: bool = True, paths: bool = False) -> list[SentencePair]:
        return [toy_record(number, rejected, paths) for number in range(count)]

    return make


@pytest.fixture(scope="session")
def supervised(tmp_path_factory: pytest.TempPathFactory, make_policy: Any, simul_tokenizer: Any) -> Path:  # noqa: F811
    """An artifact of supervised training: ``model`` with weights, head, settings and tokenizer."""
    folder = tmp_path_factory.mktemp("sft")
    policy = make_policy("llama").float()
    policy.format = SimulFormat.model_validate(FORMAT)
    save_policy(policy, folder / "model")
    simul_tokenizer.save_pretrained(folder / "model")
    return folder


@pytest.fixture
def stage_context(tmp_path: Path, supervised: Path) -> Callable[..., StageContext]:
    """(records, construction, seed, format, policy) to the context of the stage."""
    made = 0

    def make(
        records: list[SentencePair],
        construction: dict[str, Any],
        seed: int = 0,
        format: dict[str, Any] | None = None,
        policy: bool = True,
    ) -> StageContext:
        nonlocal made
        made += 1
        data, out = tmp_path / f"data-{made}", tmp_path / f"out-{made}"
        for folder in (data, out):
            folder.mkdir()
        write_pairs(data / "train.arrow", records)
        config = {"construction": construction, "format": format or FORMAT, "precision": "float32", "seed": seed}
        inputs = {"data": data, **({"sft": supervised} if policy else {})}
        return StageContext(config, inputs, {}, {"base": supervised / "model"}, out, tmp_path / "work")

    return make
