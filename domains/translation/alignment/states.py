"""Links from the similarity of a multilingual language model's hidden states; nothing is trained.

Words are the means of their tokens' states (SimAlign: Jalili Sabet et al. 2020). Links are those whose probability is
above a threshold under the softmax over the source and over the target (Awesome-align: Dou and Neubig 2021). Both
are for encoders. In a causal model a few dimensions of every state are hundreds of times larger than the others and
say nothing of the word, and each language has a mean of its own; so every dimension is standardised over the words of
its sentence before cosines are taken. That brings most of the quality. The similarity is the mean over a few layers:
the input embeddings, which know names and numbers, and two in the middle, where languages meet.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from domains.translation.alignment.words import AlignmentWords
from shared.recipes import Component

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

Links = set[tuple[int, int]]
FEWEST = 4  # words of a side from which its dimensions can be standardised
_TINY = 1e-6


class StateSettings(Component):
    """How states become links. The defaults are those that every four fifths of 150 Chinese-English gold alignments
    chose with Gemma-3-270M; scored on the other fifths they have an error rate of 0.177 (benchmarks/word_alignment.py).

    Attributes:
        depths: layers whose similarities are averaged, as shares of the model's depth: 0 are the input embeddings.
        temperature: of both softmaxes over cosines.
        threshold: least probability of a link under both.
        batch_tokens: most tokens of a forward pass, padding among them.
    """

    depths: tuple[float, ...] = Field(default=(0.0, 0.5, 0.61), min_length=1)
    temperature: float = Field(default=0.08, gt=0)
    threshold: float = Field(default=0.2, gt=0, lt=1)
    batch_tokens: int = Field(default=2048, ge=1)


class StateAligner:
    """Aligns by a model's states.

    Args:
        model: a causal language model or encoder of transformers, in evaluation mode; it is cut behind the deepest
            layer that is read, so it serves nothing else afterwards.
        tokenizer: of the model.
        settings: layers and thresholds.
    """

    def __init__(self, model: Any, tokenizer: "PreTrainedTokenizerBase", settings: StateSettings | None = None) -> None:
        self.settings = settings or StateSettings()
        decoder = model.get_decoder() if hasattr(model, "lm_head") else model
        depth = int(decoder.config.num_hidden_layers)
        self.layers = tuple(round(share * depth) for share in self.settings.depths)
        layers = getattr(decoder, "layers", None)
        if layers is not None:
            # The states of the last layer that runs come out normalised, so one more runs than is read.
            decoder.layers = layers[: max(self.layers) + 1]
        self._decoder, self._tokenizer = decoder.eval(), tokenizer

    @classmethod
    def load(cls, folder: Path, settings: StateSettings | None = None, device: str = "cpu") -> "StateAligner":
        """An aligner from a model folder.

        Raises:
            UsageError: the folder cannot be loaded.
        """
        from shared.models import load_encoder, load_tokenizer

        return cls(load_encoder(folder).to(device), load_tokenizer(folder), settings)  # pyright: ignore

    @classmethod
    def load_for(cls, folder: Path, precision: str) -> "StateAligner":
        """An aligner on the device that a recipe's precision runs on.

        Raises:
            UsageError: the folder cannot be loaded, or no device has that precision.
        """
        from shared.device import pick_device

        return cls.load(folder, device=str(pick_device(precision).device))

    def links(self, sources: Sequence[AlignmentWords], targets: Sequence[AlignmentWords]) -> list[Links]:
        """(source word, target word) links of each pair; each depends on its own two sentences only."""
        states = self.word_states([*sources, *targets])
        return [
            similarity_links(mean_similarity(source, target), self.settings.temperature, self.settings.threshold)
            if len(source[0]) and len(target[0])
            else set()
            for source, target in zip(states[: len(sources)], states[len(sources) :], strict=True)
        ]

    def word_states(self, sentences: Sequence[AlignmentWords]) -> "list[Tensor]":
        """States of the words of each sentence [layers, words, d]; without words where it has no token."""
        import torch

        pieces = [self._tokens(sentence) for sentence in sentences]
        found: list[Any] = [torch.zeros(len(self.layers), 0, 1)] * len(sentences)
        order = sorted((n for n in range(len(pieces)) if pieces[n][1]), key=lambda n: len(pieces[n][0]))
        batch: list[int] = []
        for place, number in enumerate(order):
            batch.append(number)
            following = order[place + 1] if place + 1 < len(order) else None
            longest = len(pieces[number if following is None else following][0])
            if following is None or longest * (len(batch) + 1) > self.settings.batch_tokens:
                for each, states in zip(batch, self._forward([pieces[one][0] for one in batch]), strict=True):
                    tokens, owners = pieces[each]
                    own = states[:, len(tokens) - len(owners) : len(tokens)]
                    found[each] = _word_means(own, owners, len(sentences[each]))
                batch = []
        return found

    def _forward(self, rows: Sequence[Sequence[int]]) -> "Tensor":
        """States of rows of tokens [rows, layers, longest, d]; padding stands behind and is not seen."""
        import torch

        longest = max(map(len, rows))
        device = self._decoder.get_input_embeddings().weight.device
        ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], device=device)
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=device)
        extra: dict[str, Any] = {"use_cache": False} if hasattr(self._decoder, "layers") else {}
        with torch.inference_mode():
            states = self._decoder(input_ids=ids, attention_mask=mask, output_hidden_states=True, **extra).hidden_states
        return torch.stack([states[layer] for layer in self.layers], dim=1).float().cpu()

    def _tokens(self, sentence: AlignmentWords) -> tuple[list[int], list[int]]:
        """(tokens with the beginning token, word of each token but that)."""
        start = self._tokenizer.bos_token_id
        tokens: list[int] = [] if start is None else [int(start)]  # pyright: ignore[reportArgumentType]
        owners: list[int] = []
        for number, word in enumerate(sentence.texts):
            text = " " + word if sentence.spaced or number == 0 else word
            ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
            tokens += ids  # pyright: ignore[reportArgumentType, reportOperatorIssue]
            owners += [number] * len(ids)  # pyright: ignore[reportArgumentType]
        return tokens, owners


def mean_similarity(source: "Tensor", target: "Tensor") -> "Tensor":
    """Cosines of standardised states, the mean over layers.

    Args:
        source: states of the source words [layers, m, d].
        target: states of the target words [layers, n, d].

    Returns:
        [m, n], from -1 to 1.
    """
    import torch

    both = [torch.nn.functional.normalize(_standardised(side), dim=-1) for side in (source, target)]
    return (both[0] @ both[1].transpose(1, 2)).mean(dim=0)


def similarity_links(similarity: "Tensor", temperature: float, threshold: float) -> Links:
    """Links whose probability is above a threshold in both directions.

    ``softmax_j(s_ij / T) > c`` and ``softmax_i(s_ij / T) > c`` (Dou and Neubig 2021, equations 2 and 3).

    Args:
        similarity: [m, n].
        temperature: T.
        threshold: c.
    """
    import torch

    scaled = similarity / temperature
    kept = (torch.softmax(scaled, dim=1) > threshold) & (torch.softmax(scaled, dim=0) > threshold)
    return {(int(i), int(j)) for i, j in kept.nonzero().tolist()}


def _standardised(states: "Tensor") -> "Tensor":
    """Every dimension with mean 0 and deviation 1 over the words of the sentence [layers, words, d]."""
    if states.shape[1] < FEWEST:
        return states
    return (states - states.mean(dim=1, keepdim=True)) / (states.std(dim=1, keepdim=True) + _TINY)


def _word_means(states: "Tensor", owners: Sequence[int], words: int) -> "Tensor":
    """Means over the tokens of each word [layers, tokens, d] -> [layers, words, d]; 0 for a word without tokens."""
    import torch

    index = torch.tensor(owners)
    sums = torch.zeros(states.shape[0], words, states.shape[2]).index_add_(1, index, states)
    return sums / torch.bincount(index, minlength=words).clamp(min=1)[None, :, None]
