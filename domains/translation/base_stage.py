"""What the base model translates offline, shown two examples: where the pipeline starts from."""

import json

from domains.translation.data_config import PairLanguages
from domains.translation.decode_stage import held_out_pairs
from domains.translation.pair_files import read_pairs
from domains.translation.settings import language_name
from shared.digest import json_digest
from shared.errors import DataError
from shared.generation import generate
from shared.models import load_causal_lm, load_tokenizer
from shared.prompts import PromptFormat
from shared.records import Message
from shared.sampling.settings import GenerationConfig
from shared.stages import StageContext

TRANSLATIONS = "translations.json"


def translate_with_base(context: StageContext) -> dict[str, float]:
    """Greedy offline translations of the test sentences by the base model, with examples from the training split.

    Config: ``languages`` (PairLanguages), ``sentences``, ``shots``, ``max_new_tokens``, ``batch_size``, ``precision``.
    Input ``data``, model ``base``. Writes ``translations.json``: id and text of every test sentence.

    The examples are the first training pairs of middle length in an order that depends on their text alone.

    Returns:
        ``base/sentences``.

    Raises:
        DataError: there are fewer training pairs than examples.
    """
    config = context.config
    languages = PairLanguages.model_validate(config["languages"])
    pairs = held_out_pairs(context.inputs["data"], config["sentences"])
    examples = _examples(context, int(config["shots"]))
    source, target = language_name(languages.source), language_name(languages.target)
    format = PromptFormat(style="plain", user_prefix=f"{source}: ", assistant_prefix=f"{target}:", separator="\n")
    shown = [turn for one in examples for turn in (Message("user", one[0]), Message("assistant", " " + one[1]))]
    prompts = [(*shown, Message("user", pair.source_text)) for pair in pairs]
    model, tokenizer = load_causal_lm(context.models["base"]), load_tokenizer(context.models["base"])
    sampling = GenerationConfig(
        max_new_tokens=config["max_new_tokens"], temperature=0.0, stop=("\n",), batch_size=config["batch_size"]
    )
    found = generate(
        model,
        tokenizer,
        prompts,
        format,
        sampling,
        config["precision"],
        lambda done, total: context.progress(done, total, "the base translates"),
    )
    rows = [{"id": pair.id, "text": texts[0]} for pair, texts in zip(pairs, found, strict=True)]
    (context.out / TRANSLATIONS).write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return {"base/sentences": float(len(rows))}


def _examples(context: StageContext, count: int) -> list[tuple[str, str]]:
    known = [(one.source_text, one.target_text) for one in read_pairs(context.inputs["data"] / "train.arrow")]
    if len(known) < count:
        raise DataError(f"the training split has {len(known)} pairs, fewer than the {count} of evaluate.shots.")
    by_length = sorted(known, key=lambda one: (len(one[0]), json_digest(list(one))))
    middle = by_length[len(by_length) // 4 : max(len(by_length) // 4 + count, 3 * len(by_length) // 4)]
    return sorted(middle, key=lambda one: json_digest(list(one)))[:count]
