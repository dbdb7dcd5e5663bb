"""Links by hidden states: what is computed, what each link depends on, and the real model's error."""

import os
from pathlib import Path

import pytest
import torch

from domains.translation.alignment import align
from domains.translation.alignment.error_rate import alignment_error_rate, read_gold
from domains.translation.alignment.states import (
    FEWEST,
    StateAligner,
    StateSettings,
    mean_similarity,
    similarity_links,
)
from domains.translation.alignment.words import alignment_words

SENTENCES = [["the", "old", "house", "stands", "here"], ["a", "dog"], ["who", "sees", "it", "all", "day", "long"], []]


def words(sentences):
    return [alignment_words(one, "word") for one in sentences]


def test_links_above_the_threshold_both_ways():
    similarity = torch.tensor([[1.0, 0.9, -1.0], [-1.0, 0.9, 0.2]])
    # Softmax at temperature 0.1 over rows: (.73, .27, 0), (0, 1, 0); over columns: (1, .5, 0), (0, .5, 1).
    assert similarity_links(similarity, 0.1, 0.2) == {(0, 0), (0, 1), (1, 1)}
    assert similarity_links(similarity, 0.1, 0.4) == {(0, 0), (1, 1)}


def test_standardisation_takes_away_loud_dimensions_and_the_mean_of_a_language():
    generator = torch.Generator().manual_seed(0)
    meaning = torch.randn(2, 6, 32, generator=generator)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    source, target = meaning.clone(), meaning[:, order].clone()
    source += 5 * torch.randn(2, 1, 32, generator=generator)  # each language has its mean
    target += 5 * torch.randn(2, 1, 32, generator=generator)
    source[:, :, 0] += 500 * torch.randn(2, 6, generator=generator)  # and one dimension is loud
    target[:, :, 0] += 500 * torch.randn(2, 6, generator=generator)
    links = similarity_links(mean_similarity(source, target), 0.08, 0.5)
    assert links == {(int(order[j]), j) for j in range(6)}
    raw = torch.nn.functional.normalize(source, dim=-1) @ torch.nn.functional.normalize(target, dim=-1).mT
    assert similarity_links(raw.mean(0), 0.08, 0.5) != links


def test_similarity_is_a_mean_of_cosines():
    generator = torch.Generator().manual_seed(1)
    source, target = (torch.randn(3, n, 8, generator=generator, dtype=torch.float64) for n in (5, 7))
    found = mean_similarity(source, target)
    expected = torch.zeros(5, 7, dtype=torch.float64)
    for layer in range(3):
        a, b = ((side[layer] - side[layer].mean(0)) / side[layer].std(0) for side in (source, target))
        expected += torch.nn.functional.cosine_similarity(a[:, None], b[None], dim=-1) / 3
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_few_words_keep_their_states():
    states = torch.eye(FEWEST)[None, : FEWEST - 1]
    torch.testing.assert_close(mean_similarity(states, states), torch.eye(FEWEST - 1))


def test_states_are_means_of_tokens_whatever_else_is_in_the_batch(tiny_model):
    from shared.models import load_encoder, load_tokenizer

    settings = StateSettings(depths=(0.0, 0.5))
    together = StateAligner.load(tiny_model, settings).word_states(words(SENTENCES))
    alone = StateAligner.load(tiny_model, settings.model_copy(update={"batch_tokens": 1}))
    for one, sentence in zip(together, words(SENTENCES), strict=True):
        torch.testing.assert_close(one, alone.word_states([sentence])[0], rtol=0, atol=1e-5)
    assert [one.shape[1] for one in together] == [5, 2, 6, 0]
    tokenizer, model = load_tokenizer(tiny_model), load_encoder(tiny_model)
    pieces = [tokenizer(" " + word, add_special_tokens=False)["input_ids"] for word in SENTENCES[1]]
    ids = [tokenizer.bos_token_id, *pieces[0], *pieces[1]]
    states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states
    first = len(pieces[0]) + 1
    for place, layer in enumerate((0, 1)):
        expected = torch.stack([states[layer][0, 1:first].mean(0), states[layer][0, first:].mean(0)])
        torch.testing.assert_close(together[1][place], expected, rtol=0, atol=1e-5)


def test_a_sentence_is_most_like_itself(tiny_model):
    aligner = StateAligner.load(tiny_model)
    links = align(SENTENCES, SENTENCES, states=aligner)
    assert [{(i, i) for i in range(len(one))} <= found for one, found in zip(SENTENCES, links, strict=True)] == [
        True
    ] * 4
    assert links == align(SENTENCES, SENTENCES, "states", states=aligner)
    assert align(SENTENCES[:1], SENTENCES[:1], states=aligner) == links[:1]


def test_an_encoder_serves_too(tiny_encoder):
    links = align(SENTENCES[:3], SENTENCES[:3], states=StateAligner.load(tiny_encoder))
    assert all((0, 0) in found for found in links)


def test_characters_have_no_spaces_between_them(tiny_model):
    aligner = StateAligner.load(tiny_model)
    tokens, owners = aligner._tokens(alignment_words(list("我有一个图书馆"), "char"))
    text = aligner._tokenizer.decode(tokens[1:])
    assert text.strip() == "我有一个图书馆"
    assert owners == sorted(owners)


@pytest.mark.slow
def test_the_error_of_the_packaged_model(real_data):
    kept = os.environ.get("VALIGN_TEST_MODELS")
    if not kept:
        pytest.skip("VALIGN_TEST_MODELS names no folder of unpacked models")
    from shared.models import resolve

    folder = real_data / "translation" / "zh_en_gold_alignment"
    gold = read_gold(*(folder / f"train.{ending}" for ending in ("zh", "en", "align")))
    aligner = StateAligner.load(resolve("gemma-3-270m", Path(kept)).path)
    # The first 40: with jieba's words in place of the gold's, brought back to those.
    sources = [list("".join(one)) for one in gold.sources[:40]]
    found = align(sources, gold.targets[:40], states=aligner, source_unit="char", target_unit="word")
    links = []
    for one, pairs in zip(gold.sources, found, strict=False):
        owner = [number for number, word in enumerate(one) for _ in word]
        links.append({(owner[i], j) for i, j in pairs})
    assert alignment_error_rate(links, gold.sure[:40], gold.possible[:40]) < 0.26
