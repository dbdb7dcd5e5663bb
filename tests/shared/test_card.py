import ast
import math
import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.card import (
    NOT_STATED,
    CardBaseline,
    CardDataset,
    CardMetric,
    ModelCard,
    render_card,
    usage_snippet,
)
from shared.evaluation.intervals import Estimate, unavailable
from shared.evaluation.measured import ItemValues, Measured
from shared.evaluation.paired import paired_difference
from shared.gate import GateConfig, decide
from shared.markdown import code_span, escape_text, link_or_text

SECTIONS = [
    "Intended use",
    "Out of scope",
    "Training data",
    "Training procedure",
    "Evaluation",
    "Promotion gate",
    "Limits and risks",
    "How to use",
    "Lineage",
]


def header(text):
    return yaml.safe_load(text.split("---\n")[1])


def full_card(**changes):
    base = Measured("base", {"eval/acc": ItemValues.of(range(40), None, [0.0, 1.0] * 20)})
    aligned = Measured("aligned", {"eval/acc": ItemValues.of(range(40), None, [1.0] * 40)}, data_licence="MIT")
    fields = {
        "name": "counseling-aligned",
        "summary": "Drafts for a therapist's review.",
        "version": "3",
        "base_model": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "base_model_revision": "12fd25f",
        "base_model_licence": "apache-2.0",
        "licence": "CC BY-NC 4.0",
        "languages": ["en"],
        "tags": ["dpo", "preference"],
        "intended_use": ["Research on preference data."],
        "out_of_scope": ["Advice to clients."],
        "datasets": [
            CardDataset(
                "pairs.csv",
                "training pairs",
                "sha256:abcd",
                "MIT",
                {"train": 480, "test": 57},
                "https://example.org/a_b",
                "org/pairs",
                ["Views predict the votes."],
            )
        ],
        "objective": "DPO (sigmoid)",
        "hyperparameters": {"beta": 0.1, "optimizer": "adamw", "betas": [0.9, 0.95]},
        "seeds": [0, 1, 2],
        "hardware": "2 CPU cores",
        "software": {"trl": "1.16.0"},
        "metrics": [
            CardMetric(
                "eval/acc",
                Estimate(0.61, 0.55, 0.67, 240),
                Estimate(0.5, 0.44, 0.56, 240),
                paired_difference([1.0] * 30, [0.0] * 30),
                "ties count .5",
            )
        ],
        "baselines": [CardBaseline("views only", Estimate(0.93, 0.9, 0.95, 57), "a confound")],
        "judge_statement": "The judge's held-out accuracy is 0.52 [0.44, 0.60]: the win rate is no evidence.",
        "evaluation_notes": ["Bootstrap over questions."],
        "gate": decide(aligned, base, GateConfig(primary="eval/acc")),
        "limits": ["Small model."],
        "lineage": [("data", "0123abcd"), ("align/seed-0", "ef45")],
        "location": "models/aligned",
    }
    return ModelCard(**{**fields, **changes})


def test_a_full_card_says_all_it_was_given():
    text = render_card(full_card())
    assert re.findall(r"(?m)^## (.+)$", text) == SECTIONS
    assert NOT_STATED not in text
    for words in (
        "0.610 \\[0.550, 0.670\\]",
        "0.500 \\[0.440, 0.560\\]",
        "+1.000 \\[+1.000, +1.000\\], p = 1.86e-09",
        "views only",
        "no evidence",
        "**Promoted.**",
        "train 480, test 57",
        "`sha256:abcd`",
        "<https://example.org/a_b>",
        "| `beta` | `0.1` |",
        "| `betas` | `[0.9, 0.95]` |",
        "0, 1, 2 (this model: the first)",
        "| `align/seed-0` | `ef45` |",
    ):
        assert words in text
    assert header(text) == {
        "language": ["en"],
        "license": "cc-by-nc-4.0",
        "base_model": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "base_model_relation": "finetune",
        "datasets": ["org/pairs"],
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["dpo", "preference"],
    }


def test_the_hub_client_reads_the_header():
    from huggingface_hub import ModelCard as HubCard

    data = HubCard(render_card(full_card(licence="apache-2.0", adapter=True))).data.to_dict()
    assert data["license"] == "apache-2.0"
    assert data["base_model"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert data["base_model_relation"] == "adapter"
    assert data["library_name"] == "peft"


def test_licences_in_the_header():
    assert header(render_card(ModelCard("m", licence="CC BY-NC 4.0")))["license"] == "cc-by-nc-4.0"
    own = header(render_card(ModelCard("m", licence="academic,\nattribution: yes")))
    assert (own["license"], own["license_name"]) == ("other", "academic, attribution: yes")
    assert "license" not in header(render_card(ModelCard("m")))


def test_an_empty_card_says_what_is_missing():
    text = render_card(ModelCard("m"))
    assert re.findall(r"(?m)^## (.+)$", text) == SECTIONS
    assert f"| Licence of this model | {NOT_STATED} |" in text
    assert f"## Training data\n\n{NOT_STATED}" in text
    assert f"## Limits and risks\n\n{NOT_STATED}" in text
    assert "The gate has not decided on this model." in text
    assert f"Metrics: {NOT_STATED}" in text
    assert "None" not in text
    assert "nan" not in text
    assert header(text) == {"library_name": "transformers", "pipeline_tag": "text-generation"}


def test_numbers_without_interval_and_missing_numbers():
    card = full_card(
        metrics=[
            CardMetric("a", Estimate(0.5, math.nan, math.nan, 1), unavailable("no items")),
            CardMetric("b", unavailable("undefined: 1 of 3 values are not finite"), None, paired_difference([], [])),
        ]
    )
    text = render_card(card)
    assert "n/a (no items) | 0.500 (no interval) | not stated" in text
    assert "n/a (undefined: 1 of 3 values are not finite)" in text
    assert "n/a (no test: no items)" in text
    assert " nan" not in text


def test_a_refused_gate_is_shown():
    decision = decide(Measured("a", {}), None, GateConfig(primary="x"))
    text = render_card(full_card(gate=decision))
    assert "**Not promoted.**" in text
    assert "Refused: there is no champion" in text
    assert "licence of the training data is not known" in text


HOSTILE = "<script>alert(1)</script> | [x](javascript:y) `tick` \n# heading\n---\n![i](u) *b* &amp; {x} \x00 \u2028 ```"


def test_hostile_texts_stay_text():
    card = ModelCard(
        name=HOSTILE,
        summary=HOSTILE,
        version=HOSTILE,
        base_model=HOSTILE,
        licence=HOSTILE,
        languages=[HOSTILE],
        tags=[HOSTILE],
        intended_use=[HOSTILE],
        datasets=[CardDataset(HOSTILE, HOSTILE, HOSTILE, HOSTILE, {HOSTILE: 1}, HOSTILE, None, [HOSTILE])],
        hyperparameters={HOSTILE: HOSTILE},
        metrics=[CardMetric(HOSTILE, Estimate(0.5, 0.4, 0.6, 3), note=HOSTILE)],
        baselines=[CardBaseline(HOSTILE, Estimate(0.5, 0.4, 0.6, 3))],
        limits=[HOSTILE],
        lineage=[(HOSTILE, HOSTILE)],
        location=HOSTILE,
        system_prompt=HOSTILE,
    )
    text = render_card(card)
    body = text.split("\n---\n", 1)[1]
    assert header(text)["tags"] == [HOSTILE]
    assert re.findall(r"(?m)^## (.+)$", body) == SECTIONS
    prose, code = re.split(r"(?m)^`{4,}python$", body)
    without_spans = re.sub(r"(?<!\\)(`+)(?!`).*?(?<!`)\1(?!`)", "", prose)
    assert "<script" not in without_spans
    assert not re.search(r"(?<!\\)\[x", without_spans)
    for line in prose.splitlines():
        if line.startswith("| "):  # every row has the columns of its table: no bar of a text counts
            assert len(re.findall(r"(?<!\\)\|", line)) in (3, 5, 6, 7)
    ast.parse(code.split("\n````")[0])


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40))
def test_escaping_keeps_one_line_and_no_markup(text):
    escaped = escape_text(text)
    assert "\n" not in escaped
    assert not re.search(r"(?<!\\)(?:\\\\)*[|`\[\]*_<>]", re.sub(r"\\[^\\]", "", escaped.replace("\\\\", "")))
    span = code_span(text)
    assert "\n" not in span
    assert not re.search(r"(?<!\\)\|", span)


@pytest.mark.parametrize("text", ["- a", "+ a", "---", "===", "- - -", "1. a", "12) a", "# a", "> a", "***", "~~~"])
def test_no_block_opens_at_the_start(text):
    assert re.match(r"&#\d+;|&gt;|\\", escape_text(text))


@pytest.mark.parametrize("text", ["0.61", "-5 points", "2026 rows", "a - b", "+1.0"])
def test_plain_texts_stay_readable(text):
    assert escape_text(text) == text


def test_links_only_whole_addresses():
    assert link_or_text("https://a.org/x_y?z=1") == "<https://a.org/x_y?z=1>"
    assert link_or_text("javascript:alert(1)") == "javascript:alert(1)"
    assert link_or_text("https://a.org/> <script>").startswith("https://a.org/&gt;")


def test_snippet_without_a_location_loads_the_card_s_folder():
    assert 'location = "."' in usage_snippet(ModelCard("m"))
    assert "location = 'models/aligned'" in usage_snippet(full_card())


def test_metric_names_in_words_are_text():
    text = render_card(full_card(metrics=[CardMetric("Win rate_1", Estimate(0.5, 0.4, 0.6, 3))]))
    assert "| Win rate\\_1 | not stated |" in text


@pytest.mark.slow
@pytest.mark.parametrize("adapter", [False, True])
@pytest.mark.parametrize("style", ["chat", "plain"])
def test_the_snippet_runs(tmp_path, adapter, style, capsys):
    import torch
    from peft import LoraConfig, get_peft_model
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    words = {word: index for index, word in enumerate(["<unk>", "</s>", "user", "system", "Question", "..."])}
    backend = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", eos_token="</s>")
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}"
    shape = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(words), eos_token_id=1, **shape))
    model.generation_config.max_length = 40
    base, location = tmp_path / "base", tmp_path / "model"
    model.save_pretrained(base)
    if adapter:
        get_peft_model(
            LlamaForCausalLM.from_pretrained(base), LoraConfig(r=1, target_modules=["q_proj"])
        ).save_pretrained(location)
    else:
        model.save_pretrained(location)
    tokenizer.save_pretrained(location)
    card = ModelCard(
        "m",
        adapter=adapter,
        location=str(location),
        prompt_style=style,
        plain_template="Question {prompt} user",
        system_prompt="system",
    )
    exec(compile(usage_snippet(card), "snippet", "exec"), {})
    assert capsys.readouterr().out.endswith("\n")


def test_an_adapter_of_a_packaged_model_is_loaded_through_valign():
    snippet = usage_snippet(ModelCard("m", base_model="smollm2-135m-instruct", adapter=True))
    compile(snippet, "snippet", "exec")
    assert "resolve('smollm2-135m-instruct', models_folder())" in snippet
    assert "AutoPeft" not in snippet
