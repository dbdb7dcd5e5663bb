"""Translating the test sentences with one policy under several read rules, as a stage; every delay is kept."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from domains.translation.data_config import PairLanguages
from domains.translation.decoder.rules import parse_rule, rule_source
from domains.translation.decoder.settings import DecodingConfig
from domains.translation.latency.delays import Delays
from domains.translation.latency.logs import LoggedSentence, write_log
from domains.translation.pair_files import read_pairs
from domains.translation.records import SentencePair
from domains.translation.units import split_units
from shared.device import pick_device
from shared.digest import json_digest
from shared.durable import write_json
from shared.errors import DataError
from shared.stages import StageContext

LOGS, TRACES, FACTS = "logs", "traces.jsonl", "decoding.json"


def held_out_pairs(folder: Path, most: int | None) -> list[SentencePair]:
    """The test sentences, at most `most`, in an order that depends on the sources' text alone.

    Raises:
        DataError: there is none.
    """
    pairs = sorted(read_pairs(folder / "test.arrow"), key=lambda one: json_digest([one.source_text]))
    if not pairs:
        raise DataError("no test sentence is left after splitting: give more pairs, or a larger data.fractions.test.")
    return pairs[:most]


def decode_policy(context: StageContext) -> dict[str, float]:
    """Decodes the test sentences.

    Config: ``rules``, ``decoding`` (DecodingConfig), ``languages`` (PairLanguages), ``sentences`` (most, or null),
    ``timed`` (sentences that are decoded again one by one under the first rule, for computation-aware latency),
    ``precision``. Input ``data``; the policy is input ``policy`` (a training's artifact) or file ``policy`` (a
    folder); model ``base``.

    Writes ``logs/<number>/instances.log`` for every rule (SimulEval's format), ``traces.jsonl`` (tokens, path,
    confidences of the first rule) and ``decoding.json``.

    Returns:
        ``decode/sentences``, ``decode/sentences_per_second``, ``decode/cut``.
    """
    from domains.translation.decoder.decode import decode
    from domains.translation.policy import load_for_decoding
    from shared.models import load_tokenizer

    config = context.config
    languages = PairLanguages.model_validate(config["languages"])
    decoding = DecodingConfig.model_validate(config["decoding"])
    folder = context.inputs["policy"] / "model" if "policy" in context.inputs else context.files["policy"]
    pairs = held_out_pairs(context.inputs["data"], config["sentences"])
    choice = pick_device(config["precision"])
    policy = load_for_decoding(context.models["base"], folder, choice)
    tokenizer = load_tokenizer(folder if (folder / "tokenizer_config.json").is_file() else context.models["base"])
    rules, cut, done = list(config["rules"]), 0, 0
    started = time.perf_counter()
    for number, written in enumerate(rules):
        rule = parse_rule(written)
        sources = [rule_source(rule, policy.format, tokenizer, one.source_text) for one in pairs]

        def told(sentences: int, total: int, before: int = done) -> None:
            context.progress(before + sentences, total * len(rules), f"translating, {written}")  # noqa: B023

        found = decode(policy, tokenizer, sources, rule, decoding, on_progress=told)
        done += len(found)
        cut += sum(one.cut for one in found)
        write_log(_place(context.out, number), _logged(pairs, found, languages))
        if number == 0:
            _write_traces(context.out / TRACES, pairs, found)
    seconds = time.perf_counter() - started
    timed = int(config["timed"])
    if timed:
        alone = decoding.model_copy(update={"batch_size": 1})
        rule = parse_rule(rules[0])
        sources = [rule_source(rule, policy.format, tokenizer, one.source_text) for one in pairs[:timed]]
        found = decode(policy, tokenizer, sources, rule, alone)
        write_log(context.out / LOGS / "timed" / "instances.log", _logged(pairs[:timed], found, languages))
    facts = {
        "rules": rules,
        "ids": [one.id for one in pairs],
        "groups": [one.group_id for one in pairs],
        "cut": cut,
        "seconds": seconds,
        "timed": timed,
        "device": choice.description,
    }
    write_json(context.out / FACTS, facts)
    return {
        "decode/sentences": float(len(pairs)),
        "decode/sentences_per_second": len(pairs) * len(rules) / seconds,
        "decode/cut": float(cut),
    }


def _place(out: Path, number: int) -> Path:
    place = out / LOGS / str(number) / "instances.log"
    place.parent.mkdir(parents=True)
    return place


def _logged(pairs: Sequence[SentencePair], found: Sequence[Any], languages: PairLanguages) -> list[LoggedSentence]:
    rows = []
    for index, (pair, one) in enumerate(zip(pairs, found, strict=True)):
        delays = Delays(
            tuple(float(delay) for delay in one.delays),
            float(one.source_units),
            len(split_units(pair.target_text, languages.target_unit)),
            len(one.units),
            tuple(one.elapsed_ms),
        )
        rows.append(LoggedSentence(index, one.text, pair.target_text, delays, pair.source_text))
    return rows


def _write_traces(path: Path, pairs: Sequence[SentencePair], found: Sequence[Any]) -> None:
    import json

    with path.open("w", encoding="utf-8") as file:
        for pair, one in zip(pairs, found, strict=True):
            row = {
                "id": pair.id,
                "units": list(one.units),
                "delays": list(one.delays),
                "reads": list(one.reads),
                "confidences": [list(state) for state in one.confidences],
            }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
