"""Names of aspects that mean the same, merged: "peeler" and "julienne peeler", "picture" and "image".

Names are merged by average linkage over the cosine of their sentence vectors, so that a chain of
neighbours does not pull far ones together. Only names are encoded, never sentences, and at most `MOST_NAMES` of them:
the cost does not grow with the number of reviews beyond that.
"""

from collections.abc import Mapping

import numpy as np

from domains.ecommerce.support_spans import Embed

MOST_NAMES = 300  # those that most reviews mention; the others stay as they are
SIMILAR = 0.75  # mean cosine from which names are merged: MiniLM has picture-image at .77, toe-shoe at .72
COMMON_WORD = 0.05  # added to the cosine of names that share a word (peeler and julienne peeler: .72)
# Values of `aspects.IMPLICIT`, which gather words of their own, and are told apart by people.
APART = frozenset(("comfort", "price", "fit", "size", "durability", "performance", "quality", "value"))


def merged_names(counts: Mapping[str, int], embed: Embed, similar: float = SIMILAR) -> dict[str, str]:
    """The name of each name's group: the member that most reviews mention, of equals the shortest, then the first.

    Args:
        counts: name -> reviews that mention it.
        embed: makes vectors of names.
        similar: mean cosine from which two groups become one.

    Returns:
        One entry for each name.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    order = sorted(counts, key=lambda name: (-counts[name], len(name), name))
    own = {name: name for name in order}
    names = [name for name in order[:MOST_NAMES] if name not in APART]
    if len(names) < 2:
        return own
    vectors = np.asarray(embed(names), dtype=np.float64)
    words = [set(name.split()) for name in names]
    common = np.array([[bool(one & other) for other in words] for one in words])
    similarities = vectors @ vectors.T + COMMON_WORD * common
    distances = np.clip(1 - similarities, 0, 2)[np.triu_indices(len(names), 1)]
    labels = fcluster(linkage(distances, "average"), 1 - similar, "distance")
    leaders: dict[int, str] = {}
    for name, label in zip(names, labels, strict=True):
        own[name] = leaders.setdefault(int(label), name)
    return own
