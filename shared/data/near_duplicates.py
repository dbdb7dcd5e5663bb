"""Pairs that nearly repeat another pair, found in linear time; for data preparation, which leaves them out.

Two pairs are near-duplicates when their prompts, their chosen and their rejected responses are each alike: Jaccard
similarity of the same shingles as in `shared.lint.near_duplicates`. So a pair is never taken for a near-duplicate of
one with another answer to the same question, nor of the same answers with the other one preferred.

MinHash (A. Z. Broder, "On the resemblance and containment of documents", 1997) with 8 bits a minimum (P. Li,
A. C. Koenig, WWW 2010): 42 minima a text, 126 bytes a pair. Each of 21 bands takes two minima of every text, so that
two pairs with similarities a, b, c become candidates with probability 1 - (1 - (abc)^2)^21: .998 at .8, .8, .8. What
is left out is then confirmed on the texts themselves.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from shared.data.text_keys import text_key
from shared.lint.near_duplicates import jaccard, shingles

Texts = tuple[str, str, str]  # prompt, chosen, rejected
BANDS, ROWS, TEXTS = 21, 2, 3
MINIMA = BANDS * ROWS
CHANCE = 1 / 256  # that the kept bits of two different minima agree
MIN_SHINGLES = 8  # a text with fewer counts as alike only where it is the same
DOUBT = 0.2  # about three standard deviations of the estimate from 42 minima at .8
MOST_REPRESENTATIVES = 1_000  # of one cluster that a pair is compared with; keeps the time linear
_AT_ONCE = 1_024
_CHECKED_AT_ONCE = 200_000


class PairSignatures:
    """Signatures of pairs in the order they come, and which of them nearly repeat another."""

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._signatures = bytearray()

    def __len__(self) -> int:
        return (len(self._signatures) // MINIMA + len(self._waiting)) // TEXTS

    def add(self, prompt: str, chosen: str, rejected: str) -> None:
        """Takes in a pair."""
        self._waiting += (text_key(prompt), text_key(chosen), text_key(rejected))
        if len(self._waiting) >= _AT_ONCE * TEXTS:
            self._digest()

    def _digest(self) -> None:
        from rensa import RMinHash  # pyright: ignore[reportAttributeAccessIssue]  # a compiled module without stubs

        found = [shingles(text) for text in self._waiting]
        minima = np.empty((len(found), MINIMA), dtype=np.uint8)
        long = np.array([len(each) >= MIN_SHINGLES for each in found], dtype=bool)
        if long.any():
            sets = [list(each) for each in found if len(each) >= MIN_SHINGLES]
            rows = RMinHash.digest_matrix_from_token_sets(sets, MINIMA, 0).to_rows()
            minima[long] = np.array(rows, dtype=np.uint32).astype(np.uint8)
        for place in np.flatnonzero(~long):
            text = self._waiting[place].encode("utf-8", "surrogatepass")
            minima[place] = np.frombuffer(blake2b(text, digest_size=MINIMA).digest(), dtype=np.uint8)
        self._signatures += minima.tobytes()
        self._waiting = []

    def repeated(
        self, order: NDArray[np.uint64], similarity: float, texts_of: Callable[[int], Texts]
    ) -> NDArray[np.bool_]:
        """Which pairs nearly repeat a pair that stays.

        Of near-duplicates the one whose content hashes lowest stays, so that the order of rows does not matter. Every
        pair left out is a near-duplicate of one that stays; those that chain from one to the next are not left out
        for that alone.

        Args:
            order: content hash of each pair. [pairs]
            similarity: Jaccard similarity that each of the three texts must reach.
            texts_of: prompt, chosen and rejected response of a pair by its number.

        Returns:
            True for the pairs to leave out. [pairs]
        """
        if self._waiting:
            self._digest()
        by_content = np.argsort(order, kind="stable")
        signatures = np.frombuffer(self._signatures, dtype=np.uint8).reshape(-1, TEXTS, MINIMA)[by_content]
        compare = _Comparison(similarity, lambda place: texts_of(int(by_content[place])))
        result = np.zeros(len(by_content), dtype=bool)
        for cluster in _clusters(signatures, similarity):
            result[by_content[_not_staying(cluster, signatures, compare)]] = True
        return result


class _Comparison:
    """The similarity of pairs from their texts, with the shingles of the last pairs kept."""

    def __init__(self, similarity: float, texts_of: Callable[[int], Texts]) -> None:
        self.similarity = similarity
        self._keys_and_shingles = lru_cache(maxsize=2_048)(
            lambda place: [(key, shingles(key)) for key in map(text_key, texts_of(place))]
        )

    def alike(self, one: int, other: int) -> bool:
        """Whether all three texts are alike."""
        pairs = zip(self._keys_and_shingles(one), self._keys_and_shingles(other), strict=True)
        return all(
            key == key_too
            or (min(len(found), len(found_too)) >= MIN_SHINGLES and jaccard(found, found_too) >= self.similarity)
            for (key, found), (key_too, found_too) in pairs
        )


def _clusters(signatures: NDArray[np.uint8], similarity: float) -> Iterator[NDArray[np.int64]]:
    """Places of the pairs of each set that is linked by candidates, ascending; sets of one are left out."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    m = len(signatures)
    labels = np.arange(m)
    for band in range(BANDS):
        left, right = _candidates(signatures[:, :, band * ROWS : (band + 1) * ROWS].reshape(m, TEXTS * ROWS))
        apart = labels[left] != labels[right]
        left, right = left[apart], right[apart]
        near = np.empty(left.size, dtype=bool)
        for start in range(0, left.size, _CHECKED_AT_ONCE):
            part = slice(start, start + _CHECKED_AT_ONCE)
            near[part] = _estimate(signatures[left[part]], signatures[right[part]]) >= similarity - DOUBT
        if near.any():
            ends = labels[left[near]], labels[right[near]]
            links = coo_array((np.ones(ends[0].size, dtype=bool), ends), shape=(m, m))
            labels = connected_components(links, directed=False)[1][labels]
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(labels[order]) != 0]) if m else order
    ends = np.r_[starts[1:], m]
    for start, end in zip(starts[ends - starts > 1], ends[ends - starts > 1], strict=True):
        yield order[start:end]


def _candidates(rows: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs whose rows [pairs, 6] are equal: each with its predecessor and with the first of its bucket."""
    padded = np.zeros((rows.shape[0], 8), dtype=np.uint8)
    padded[:, : rows.shape[1]] = rows
    keys = padded.view(np.uint64).reshape(-1)
    order = np.argsort(keys, kind="stable")
    same = np.r_[False, keys[order][1:] == keys[order][:-1]] if order.size else np.zeros(0, dtype=bool)
    first = np.maximum.accumulate(np.where(same, 0, np.arange(order.size)))
    place = np.flatnonzero(same)
    far = place[first[place] != place - 1]
    return np.concatenate([order[place], order[far]]), np.concatenate([order[place - 1], order[first[far]]])


def _estimate(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Estimated similarity of the least similar of the three texts, from signatures [..., 3, 42]. [...]"""
    return ((one == other).mean(axis=-1).min(axis=-1) - CHANCE) / (1 - CHANCE)


def _not_staying(cluster: NDArray[np.int64], signatures: NDArray[np.uint8], compare: _Comparison) -> list[int]:
    """Places of a cluster that are alike to an earlier one that stays."""
    staying, leaving = [int(cluster[0])], []
    for place in map(int, cluster[1:]):
        near = _estimate(signatures[staying], signatures[place]) if len(staying) > 1 else np.ones(1)
        likely = np.flatnonzero(near >= compare.similarity - DOUBT)
        likely = likely[np.argsort(-near[likely], kind="stable")]
        if any(compare.alike(staying[each], place) for each in likely):
            leaving.append(place)
        elif len(staying) < MOST_REPRESENTATIVES:
            staying.append(place)
    return leaving
