"""Near-duplicate texts in linear time: MinHash signatures (rensa), locality-sensitive hashing by sorted bands.

A. Z. Broder, "On the resemblance and containment of documents" (1997); P. Li, A. C. König, "b-bit minwise hashing"
(WWW 2010): of each of 126 minima only the low 8 bits are kept, 126 bytes a text. Banding: 21 bands of 6 rows find a
pair of similarity .8 with probability .998 and one of .5 with .28; candidates are then confirmed by the estimate
from the whole signature (standard deviation .036 at .8). Instead of dictionaries of buckets each band's keys are
sorted, which takes three arrays at a time whatever the number of texts.
"""

from array import array
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.lint.pairs import Batch

BANDS, ROWS = 21, 6
SIGNATURE = BANDS * ROWS
CHANCE = 1 / 256  # that the kept bits of two different minima agree
WORD_SHINGLE, CHARACTER_SHINGLE = 2, 3
_CHECKED_AT_ONCE = 500_000
LEAST_SHOWN = 0.5
ALONE = -1


def shingles(text: str) -> set[str]:
    """Pairs of neighbouring words of a normalised text; triples of characters where words are not set apart."""
    words = text.split()
    if len(words) * 12 > len(text):
        return {f"{a} {b}" for a, b in pairwise(words)}
    return {text[place : place + CHARACTER_SHINGLE] for place in range(len(text) - CHARACTER_SHINGLE + 1)}


def jaccard(a: set[str], b: set[str]) -> float:
    """Size of the intersection over that of the union; 0 for two empty sets."""
    union = len(a | b)
    return len(a & b) / union if union else 0.0


class SimilarTexts:
    """An index of distinct texts.

    Args:
        similarity: Jaccard similarity of shingles from which two texts are near-duplicates.
        min_shingles: texts with fewer are left out.
    """

    def __init__(self, similarity: float, min_shingles: int) -> None:
        self._similarity, self._min_shingles = similarity, min_shingles
        self._seen: set[int] = set()
        self._hashes = array("Q")
        self._signatures = bytearray()
        self._nearest: NDArray[np.float32] = np.zeros(0, dtype=np.float32)

    def add(self, texts: list[str], hashes: list[int]) -> None:
        """Takes in normalised texts with their hashes; a text that was seen before costs nothing."""
        from rensa import RMinHash  # pyright: ignore[reportAttributeAccessIssue]  # a compiled module without stubs

        sets: list[list[str]] = []
        for text, key in zip(texts, hashes, strict=True):
            if key in self._seen:
                continue
            self._seen.add(key)
            found = shingles(text)
            if len(found) >= self._min_shingles:
                sets.append(list(found))
                self._hashes.append(key)
        if sets:
            matrix = RMinHash.digest_matrix_from_token_sets(sets, SIGNATURE, 0)
            self._signatures += np.array(matrix.to_rows(), dtype=np.uint32).astype(np.uint8).tobytes()

    @cached_property
    def clusters(self) -> NDArray[np.int64]:
        """Cluster number of each text [m], in the order they came; near-duplicates chain."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        m = len(self._hashes)
        signatures = np.frombuffer(self._signatures, dtype=np.uint8).reshape(m, SIGNATURE)
        labels = np.arange(m)
        nearest = np.zeros(m, dtype=np.float32)
        self._seen.clear()
        for band in range(BANDS):
            left, right = _candidates(signatures[:, band * ROWS : (band + 1) * ROWS])
            apart = labels[left] != labels[right]
            left, right = left[apart], right[apart]
            found = _similarity(signatures, left, right)
            np.maximum.at(nearest, left, found)
            np.maximum.at(nearest, right, found)
            alike = found >= self._similarity
            if alike.any():
                left, right = labels[left[alike]], labels[right[alike]]
                links = coo_array((np.ones(left.size, dtype=bool), (left, right)), shape=(m, m))
                labels = connected_components(links, directed=False)[1][labels]
        self._nearest = nearest
        return labels.astype(np.int64)

    def similarities(self) -> dict[str, Any]:
        """How similar each text is to the most similar other one it was compared with, as a histogram from .5 to 1.

        Texts are compared where a band of their signatures coincides, and no more once they are in one cluster: below
        a similarity of some .5 most pairs are not looked at, and are not counted here. Copies of a text count once.
        """
        assert self.clusters is not None  # which fills the similarities
        seen = self._nearest[self._nearest >= LEAST_SHOWN]
        counts, edges = np.histogram(np.minimum(seen, 1.0), bins=20, range=(LEAST_SHOWN, 1.0))
        return {
            "counts": counts.tolist(),
            "edges": edges.tolist(),
            "beyond": 0,
            "texts": len(self._hashes),
            "threshold": self._similarity,
        }

    def cluster_of(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Cluster of each text by its hash; `ALONE` for texts that were too short to be compared."""
        known = np.frombuffer(self._hashes, dtype=np.uint64)
        if not known.size:
            return np.full(hashes.size, ALONE, dtype=np.int64)
        order = np.argsort(known, kind="stable")
        place = np.minimum(np.searchsorted(known, hashes, sorter=order), known.size - 1)
        found = order[place]
        return np.where(known[found] == hashes, self.clusters[found], ALONE)


class NearDuplicates:
    """The prompts and the responses of a stream, each in an index of its own.

    Args:
        similarity: as in `SimilarTexts`.
        min_shingles: as in `SimilarTexts`.
    """

    def __init__(self, similarity: float, min_shingles: int) -> None:
        self.prompts = SimilarTexts(similarity, min_shingles)
        self.responses = SimilarTexts(similarity, min_shingles)

    def observe(self, batch: Batch) -> None:
        """Takes in a batch."""
        self.prompts.add(batch.prompts, batch.prompt_hashes)
        self.responses.add(batch.chosen + batch.rejected, batch.chosen_hashes + batch.rejected_hashes)


def _candidates(rows: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of texts whose rows are equal: each with its predecessor and with the first of its bucket."""
    padded = np.zeros((rows.shape[0], 8), dtype=np.uint8)
    padded[:, : rows.shape[1]] = rows
    keys = padded.view(np.uint64).reshape(-1)
    order = np.argsort(keys, kind="stable")
    same = np.zeros(order.size, dtype=bool)
    same[1:] = keys[order][1:] == keys[order][:-1]
    first = np.maximum.accumulate(np.where(same, 0, np.arange(order.size)))
    place = np.flatnonzero(same)
    far = place[first[place] != place - 1]
    return np.concatenate([order[place], order[far]]), np.concatenate([order[place - 1], order[first[far]]])


def _similarity(
    signatures: NDArray[np.uint8], left: NDArray[np.int64], right: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Estimated Jaccard similarity of pairs, from all rows of the signature."""
    result = np.empty(left.size)
    for start in range(0, left.size, _CHECKED_AT_ONCE):
        part = slice(start, start + _CHECKED_AT_ONCE)
        result[part] = (signatures[left[part]] == signatures[right[part]]).mean(axis=1)
    return (result - CHANCE) / (1 - CHANCE)
