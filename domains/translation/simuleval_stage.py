"""SimulEval decodes and scores the same sentences: what it finds must be what the batch decoder and our metrics say."""

import shutil
from importlib.metadata import version

import numpy as np

from domains.translation.data_config import PairLanguages
from domains.translation.decode_stage import held_out_pairs
from domains.translation.decoded_policies import DecodedPolicy
from domains.translation.decoder.rules import parse_rule
from domains.translation.decoder.settings import DecodingConfig
from domains.translation.latency.summary import sentence_latency
from domains.translation.simuleval_run import run_simuleval
from shared.durable import write_json
from shared.stages import StageContext

LAGS = ("AL", "LAAL", "AP", "DAL")


def check_with_simuleval(context: StageContext) -> dict[str, float]:
    """Runs SimulEval's own evaluation with our agent on the first test sentences, under the first decoded rule.

    Config: ``sentences``, ``decoding``, ``languages``, ``precision``. Inputs ``data`` and ``decoded`` (of the same
    policy); the policy as in `decode_policy`. Writes ``simuleval.json``: both sides' figures, and in how many
    sentences the words and every delay are the same. Batched and single decoding differ by rounding: a sentence whose
    words differ is counted, not an error.

    Returns:
        ``simuleval/same_words``, ``simuleval/same_delays`` (of sentences with the same words), and each figure's
        largest distance between SimulEval's score and ours on SimulEval's own log.
    """
    config = context.config
    languages = PairLanguages.model_validate(config["languages"])
    folder = context.inputs["policy"] / "model" if "policy" in context.inputs else context.files["policy"]
    decoded = DecodedPolicy.read(context.inputs["decoded"], languages)
    rule = decoded.facts["rules"][0]
    batch = decoded.rules[rule].sentences[: config["sentences"]]
    pairs = held_out_pairs(context.inputs["data"], None)[: len(batch)]
    context.progress(0, len(batch), "SimulEval translates")
    work = context.work / "simuleval"
    shutil.rmtree(work, ignore_errors=True)  # what an interrupted start left
    found = run_simuleval(
        folder,
        context.models["base"],
        [one.source_text for one in pairs],
        [one.target_text for one in pairs],
        parse_rule(rule),
        work,
        DecodingConfig.model_validate(config["decoding"]),
        precision=config["precision"],
    )
    theirs = found.sentences
    same_words = [a.prediction.split() == b.prediction.split() for a, b in zip(theirs, batch, strict=True)]
    same_delays = [
        list(a.delays.delays) == list(b.delays.delays)
        for a, b, same in zip(theirs, batch, same_words, strict=True)
        if same
    ]
    ours = sentence_latency([one.delays for one in theirs]).lags
    figures = {
        lag: {"simuleval": found.scores[lag], "ours": float(np.nanmean(ours[lag]))}
        for lag in LAGS
        if lag in found.scores
    }
    result = {
        "rule": rule,
        "sentences": len(batch),
        "same_words": int(sum(same_words)),
        "same_delays": int(sum(same_delays)),
        "figures": figures,
        "version": version("simuleval"),
    }
    write_json(context.out / "simuleval.json", result)
    distances = {
        f"simuleval/distance_{lag.lower()}": abs(one["simuleval"] - one["ours"]) for lag, one in figures.items()
    }
    return {
        "simuleval/sentences": float(len(batch)),
        "simuleval/same_words": float(result["same_words"]),
        "simuleval/same_delays": float(result["same_delays"]),
        **distances,
    }
