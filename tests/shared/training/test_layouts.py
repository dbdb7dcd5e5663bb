"""The two layouts against each other and against whole logits: values, gradients, three architectures and more."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import logsigmoid

from shared.errors import UsageError
from shared.models import load_causal_lm, load_tokenizer
from shared.prompts import PromptFormat
from shared.records import Message, PreferenceRecord
from shared.training.arguments import prepare_model
from shared.training.config import DpoConfig, DpoJob
from shared.training.layouts import Layout, cost, set_layout, token_logps, use_layout, without_trees
from shared.training.pair_examples import pair_trees
from shared.training.trees import Tree, pack
from tests.shared.training.tiny_architectures import (
    PLAIN_FAMILIES,
    TREE_FAMILIES,
    WINDOW,
    WORDS,
    gradients,
    in_float64,
    naive_logps,
    nothing_kept,
    ragged_trees,
    relative_differences,
    short_blocks,
    tiny,
    with_adapters,
)

LAYOUTS: tuple[Layout, ...] = ("shared", "plain")


def preference_loss(tokens: Tensor, given: list[Tree]) -> Tensor:
    """DPO with made-up reference sums, first completions chosen and last rejected; one-completion trees: their sum."""
    packed = pack(given)
    sums = torch.zeros(packed.completions, dtype=tokens.dtype).index_add(0, packed.owner, tokens)
    losses, at = [], 0
    for number, tree in enumerate(given):
        one = sums[at : at + len(tree.completions)]
        at += len(tree.completions)
        losses.append(-logsigmoid(0.1 * (one[0] - one[-1] - number)) - 0.01 * one.sum())
    return torch.stack(losses).mean()


def found_with(model: Any, layout: Layout, given: list[Tree]) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """(log-probabilities, loss, gradients) of a layout."""
    with use_layout(model, layout) as chosen:
        assert chosen == layout
        tokens = token_logps(model, given, layout).tokens
        loss = preference_loss(tokens, given)
        found = gradients(model, loss)
        return tokens.detach(), loss.detach(), found


def assert_equal_in_float64(model: Any, given: list[Tree]) -> None:
    expected = naive_logps(model, given)
    wanted = gradients(model, preference_loss(expected, given))
    for layout in LAYOUTS:
        tokens, _, found = found_with(model, layout, given)
        assert tokens.dtype == torch.float64
        torch.testing.assert_close(tokens, expected.detach(), rtol=0, atol=1e-8)
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            torch.testing.assert_close(found[name], value, rtol=0, atol=1e-8, msg=lambda told, at=name: f"{at}: {told}")


@pytest.mark.parametrize("adapted", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("tied", [False, True], ids=["own head", "tied head"])
@pytest.mark.parametrize("family", [*TREE_FAMILIES, "mistral"])
def test_both_layouts_equal_whole_logits_in_float64(
    family: str, tied: bool, adapted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny(family, tied)
    model = in_float64(with_adapters(model) if adapted else model)
    with short_blocks(monkeypatch):
        assert_equal_in_float64(model, ragged_trees())


@pytest.mark.parametrize("adapted", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("family", TREE_FAMILIES)
def test_both_layouts_agree_in_float32(family: str, adapted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model = with_adapters(tiny(family)) if adapted else tiny(family)
    trees = ragged_trees(1)
    with short_blocks(monkeypatch):
        of_shared, of_plain = (found_with(model, layout, trees) for layout in LAYOUTS)
    expected = naive_logps(model, trees)
    loss = preference_loss(expected, trees)
    wanted = gradients(model, loss)
    loss = loss.detach()
    for _, one, found in (of_shared, of_plain):
        assert float(one) == pytest.approx(float(loss), rel=1e-5)
        assert max(relative_differences(found, wanted).values()) < 1e-4
    assert float(of_shared[1]) == pytest.approx(float(of_plain[1]), rel=1e-5)
    assert max(relative_differences(of_shared[2], of_plain[2]).values()) < 1e-4


@settings(max_examples=20, deadline=None)
@given(
    shapes=st.lists(
        st.tuples(st.integers(1, 12), st.lists(st.integers(1, 12), min_size=1, max_size=4)), min_size=1, max_size=3
    ),
    family=st.sampled_from(["llama", "gemma3"]),
    seed=st.integers(0, 9),
)
def test_any_shapes_have_equal_values(shapes: list[tuple[int, list[int]]], family: str, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)

    def some(count: int) -> list[int]:
        return torch.randint(3, WORDS, (count,), generator=generator).tolist()

    trees = [Tree(some(prompt), tuple(some(count) for count in counts)) for prompt, counts in shapes]
    model = tiny(family)
    with torch.no_grad():
        expected = naive_logps(model, trees)
        for layout in LAYOUTS:
            with use_layout(model, layout):
                logps = token_logps(model, trees, layout)
            torch.testing.assert_close(logps.tokens, expected, rtol=1e-5, atol=2e-5)
            lengths = [len(completion) for tree in trees for completion in tree.completions]
            assert logps.owner.tolist() == [number for number, count in enumerate(lengths) for _ in range(count)]
            assert logps.place.tolist() == [place for count in lengths for place in range(count)]
            torch.testing.assert_close(logps.sums(), torch.stack([part.sum() for part in expected.split(lengths)]))
            limits = torch.tensor([count // 2 for count in lengths])
            halves = torch.stack([part[: len(part) // 2].sum() for part in expected.split(lengths)])
            torch.testing.assert_close(logps.sums(limits), halves, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_texts_longer_than_a_block_of_queries_are_equal(family: str) -> None:
    """Real block size: a prompt of 150 tokens and completions of 140 and 300 have two and three blocks."""
    generator = torch.Generator().manual_seed(3)
    prompt, first, second = (torch.randint(3, WORDS, (n,), generator=generator).tolist() for n in (150, 140, 300))
    assert_equal_in_float64(in_float64(tiny(family, tied=True)), [Tree(prompt, (first, second)), Tree([5], (first,))])


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_prompts_cut_to_length_are_equal(family: str) -> None:
    """Trees as training makes them, where `max_length` takes from prompts and completions."""
    tokenizer: Any = _Letters()
    texts = [("why is it so" * 5, "because", "no"), ("hm", "a" * 70, "b" * 20), ("abc", "d", "e")]
    records = [
        PreferenceRecord(f"r{number}", f"g{number}", "t:1", (Message("user", prompt),), chosen, rejected)
        for number, (prompt, chosen, rejected) in enumerate(texts)
    ]
    examples = pair_trees(records, PromptFormat(style="plain"), tokenizer, 32)
    assert [one.truncated for one in examples] == [True, True, False]
    trees = [tree for one in examples for tree in one.trees]
    assert max(len(tree.prompt) + len(part) for tree in trees for part in tree.completions) == 32
    assert_equal_in_float64(in_float64(tiny(family)), trees)


class _Letters:
    """A tokenizer whose tokens are letters."""

    chat_template, eos_token, bos_token_id, name_or_path = None, "~", None, "letters"

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": [2 if letter == "~" else 3 + ord(letter) % (WORDS - 3) for letter in text]}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_computing_probabilities_again_changes_nothing(
    family: str, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny(family, tied=True)
    _, loss, wanted = found_with(model, layout, ragged_trees())
    with nothing_kept(monkeypatch):
        _, again, found = found_with(model, layout, ragged_trees())
    assert float(again) == float(loss)
    assert max(relative_differences(found, wanted).values()) < 1e-6


@pytest.mark.parametrize("adapted", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_gradient_checkpointing_changes_nothing(family: str, adapted: bool) -> None:
    model = with_adapters(tiny(family)) if adapted else tiny(family)
    _, loss, wanted = found_with(model, "shared", ragged_trees())
    model.gradient_checkpointing_enable()
    model.enable_input_require_grads()
    model.train()
    calls = 0

    def count(*_: Any) -> None:
        nonlocal calls
        calls += 1

    layers = model.get_base_model().model.layers if adapted else model.model.layers
    layers[0].mlp.register_forward_pre_hook(count)
    with use_layout(model, "shared"):
        calls = 0
        tokens = token_logps(model, ragged_trees(), "shared").tokens
        again = preference_loss(tokens, ragged_trees())
        found = gradients(model, again)
    assert calls == 2  # forward, and once more in the backward pass
    assert again.item() == pytest.approx(float(loss), rel=1e-6)
    assert max(relative_differences(found, wanted).values()) < 1e-5


def test_the_window_is_seen_by_the_comparison() -> None:
    """Were the window ignored, the comparison above would notice."""
    model = tiny("gemma3")
    trees = [tree for tree in ragged_trees() if len(tree.prompt) > WINDOW]
    with torch.no_grad(), use_layout(model, "shared"):
        right = token_logps(model, trees, "shared").tokens
        for layer in model.model.layers:
            layer.self_attn.sliding_window = 1000 if layer.self_attn.is_sliding else None
        wrong = token_logps(model, trees, "shared").tokens
    assert float((right - wrong).abs().max()) > 0.05


def test_costs_are_those_of_the_layout() -> None:
    tree = Tree([1] * 5, ([2] * 3, [2] * 7))
    assert (cost(tree, "shared"), cost(tree, "plain")) == (15, 24)


@pytest.mark.parametrize("family", TREE_FAMILIES)
def test_trees_are_chosen_and_the_own_attention_returns(family: str) -> None:
    model = tiny(family)
    ids = torch.tensor([[5, 6, 7, 8]])
    before = model.config._attn_implementation
    expected = model.generate(input_ids=ids, max_new_tokens=4, do_sample=False)
    with use_layout(model, "auto") as layout:
        assert layout == "shared"
        assert model.config._attn_implementation == "valign_trees"
        assert not model.training
        with without_trees(model):
            assert torch.equal(model.generate(input_ids=ids, max_new_tokens=4, do_sample=False), expected)
        assert model.config._attn_implementation == "valign_trees"
    assert model.config._attn_implementation == before
    assert torch.equal(model.generate(input_ids=ids, max_new_tokens=4, do_sample=False), expected)


def test_layouts_may_be_set_within_each_other() -> None:
    """A policy in training has trees set for good, and is looked at in between."""
    model, trees = tiny("llama"), ragged_trees()
    assert set_layout(model, "auto") == "shared"
    assert set_layout(model, "shared") == "shared"
    with torch.no_grad():
        expected = token_logps(model, trees, "shared").tokens
        with use_layout(model, "plain") as layout:
            assert (layout, model.config._attn_implementation) == ("plain", "sdpa")
            torch.testing.assert_close(token_logps(model, trees, layout).tokens, expected, rtol=1e-5, atol=1e-5)
        with use_layout(model, "auto") as layout:
            torch.testing.assert_close(token_logps(model, trees, layout).tokens, expected, rtol=0, atol=0)
        assert model.config._attn_implementation == "valign_trees"
        with without_trees(model):
            assert model.config._attn_implementation == "sdpa"
    assert set_layout(model, "plain") == "plain"
    assert model.config._attn_implementation == "sdpa"


def test_the_own_attention_returns_after_an_error() -> None:
    model = tiny("llama")
    with pytest.raises(KeyError), use_layout(model, "auto"):
        raise KeyError
    assert model.config._attn_implementation == "sdpa"
    with use_layout(model, "plain") as layout:
        assert (layout, model.config._attn_implementation) == ("plain", "sdpa")


@pytest.mark.parametrize("family", PLAIN_FAMILIES)
def test_other_families_fall_back_to_the_plain_layout_and_are_right(
    family: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = tiny(family)
    before = model.config._attn_implementation
    with caplog.at_level(logging.WARNING, logger="shared.training.layouts"):
        layout = set_layout(model, "auto")
    assert layout == "plain"
    assert PLAIN_FAMILIES[family] in caplog.text
    assert "plain layout" in caplog.text
    assert model.config._attn_implementation == before
    trees = ragged_trees(2)
    expected = naive_logps(model, trees)
    loss = preference_loss(expected, trees)
    wanted = gradients(model, loss)
    loss = loss.detach()
    tokens, found_loss, found = found_with(model, "plain", trees)
    torch.testing.assert_close(tokens, expected.detach(), rtol=1e-4, atol=1e-4)
    assert float(found_loss) == pytest.approx(float(loss), rel=1e-5)
    assert max(relative_differences(found, wanted).values()) < 1e-3
    with pytest.raises(UsageError, match=rf"{model.config.model_type} models \(.*{PLAIN_FAMILIES[family]}"):
        set_layout(model, "shared")
    assert model.config._attn_implementation == before


def test_a_family_whose_layers_hide_their_window_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The window is longer than what is tried, so that the values alone would not tell."""
    import transformers.models.mistral.modeling_mistral as mistral

    model = tiny("mistral")
    model.config.sliding_window = 400
    assert set_layout(model, "auto") == "shared"
    model.set_attn_implementation("sdpa")
    forward = mistral.MistralAttention.forward

    def silent(self: Any, *args: Any, **kwargs: Any) -> Any:
        window, self.config.sliding_window = self.config.sliding_window, None
        try:
            return forward(self, *args, **kwargs)
        finally:
            self.config.sliding_window = window

    monkeypatch.setattr(mistral.MistralAttention, "forward", silent)
    with pytest.raises(UsageError, match="do not name their window"):
        set_layout(model, "shared")


def test_a_model_that_answers_otherwise_in_trees_falls_back() -> None:
    """What no rule foresees is found by trying: here a family that ignores the positions it is given."""
    model = tiny("llama")
    rotate = model.model.rotary_emb.forward

    def from_zero(values: Tensor, position_ids: Tensor) -> Any:
        return rotate(values, torch.arange(values.shape[1])[None].expand_as(position_ids))

    model.model.rotary_emb.forward = from_zero
    with pytest.raises(UsageError, match="off by"):
        set_layout(model, "shared")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_dropout_of_attention_is_off_in_training(tiny_model: Path, tmp_path: Path, layout: Layout) -> None:
    """Families carry it as a number of the layer, not as a module: trees would refuse it in the middle of a step."""
    model: Any = load_causal_lm(tiny_model)
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.5
    job = DpoJob(model=tiny_model, records=[tmp_path], output=tmp_path, config=DpoConfig(lora=None))
    model = prepare_model(model, job, "CAUSAL_LM").train()
    trees = ragged_trees()
    with use_layout(model, layout):
        torch.testing.assert_close(*(token_logps(model, trees, layout).tokens for _ in range(2)), rtol=0, atol=0)


def test_a_saved_model_names_an_attention_that_others_know(tiny_model: Path, tmp_path: Path) -> None:
    model: Any = load_causal_lm(tiny_model)
    tokenizer = load_tokenizer(tiny_model)
    set_layout(model, "auto")
    model.save_pretrained(tmp_path / "saved")
    tokenizer.save_pretrained(tmp_path / "saved")
    for path in (tmp_path / "saved").glob("*.json"):
        assert "valign_trees" not in path.read_text(encoding="utf-8")
    assert "llama" in json.loads((tmp_path / "saved" / "config.json").read_text())["model_type"]
    assert load_causal_lm(tmp_path / "saved").config._attn_implementation != "valign_trees"
