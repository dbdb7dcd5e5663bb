"""What a domain is to the rest of valign, and how installed domains are found.

A domain is registered by an entry point of the group ``valign.domains`` whose value is a `Domain`; the five that come
with valign are registered the same way, so a team adds a sixth in a package of its own.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from shared.errors import SystemStateError, UsageError
from shared.stages import Stage

if TYPE_CHECKING:
    from shared.rewards.feature_rows import Extract

GROUP = "valign.domains"


@dataclass(frozen=True)
class Policy:
    """A model to evaluate beside the pipeline's own: what it is called and where it comes from.

    Attributes:
        name: ``champion`` or ``model``.
        reference: model reference (hub id, packaged name or folder), or the folder of a registered model.
        folder: local folder of model or adapter, where it is no named base model.
    """

    name: str
    reference: str | None = None
    folder: Path | None = None


@dataclass(frozen=True)
class PipelineRequest:
    """What a pipeline is built from.

    Attributes:
        recipe: checked recipe of the domain.
        data: file or folder given by the user, or the domain's sample; None with `location` set.
        location: ``hub:ID`` where the data are no local path.
        champion: the model to beat; None at first (then the unaligned base is the champion).
        only_evaluate: for `valign evaluate`: the model to evaluate; the pipeline then trains no policy.
    """

    recipe: Any
    data: Path | None
    location: str | None = None
    champion: Policy | None = None
    only_evaluate: Policy | None = None


@dataclass(frozen=True)
class Domain:
    """A domain as the flows and the command line see it.

    Attributes:
        name: one lower-case word; names the experiment and the registered model.
        title: a short description for listings.
        recipe: pydantic type of its recipes.
        recipes: folder of YAML recipes; `cpu.yaml` is the default.
        sample: data used where no --data is given.
        sample_licence: licence of that sample.
        build: request -> stages in the order they run.
        headline: request, metrics by stage -> rows of the result table; see `shared.results`.
        report_sections: folders of artifacts by stage name -> sections of the report.
        data_files: path given by the user, recipe -> files that are the data, by role, where one file has partners
            (parallel text); None: the path alone.
        gate_stage: name of the stage whose artifact holds decision.json.
        candidate_stage: name of the stage whose artifact is the model to register.
        extract: gives the function that scores new texts as the domain's records are scored, for rewards that name the
            domain as their extractor; None: the domain has none. It may load models, and is called once a process.
    """

    name: str
    title: str
    recipe: type[BaseModel]
    recipes: Path
    sample: Path
    sample_licence: str
    build: Callable[[PipelineRequest], Sequence[Stage]]
    headline: Callable[[Mapping[str, Path]], list[dict[str, Any]]]
    report_sections: Callable[[Mapping[str, Path]], list[Any]]
    candidate_stage: str = "align/seed-0"
    data_files: Callable[[Path, Any], Mapping[str, Path]] | None = None
    evaluation_stage: str = "eval"
    gate_stage: str = "gate"
    card_stage: str = "card"
    tags: Mapping[str, str] = field(default_factory=dict)
    extract: "Callable[[], Extract] | None" = None


def installed_domains() -> dict[str, Any]:
    """Entry points of all installed domains by name (nothing is imported)."""
    return {point.name: point for point in entry_points(group=GROUP)}


def load_domain(name: str) -> Domain:
    """Imports and checks one domain.

    Raises:
        UsageError: unknown name; names the nearest known one.
        SystemStateError: the plug-in cannot be imported or is no Domain.
    """
    points = installed_domains()
    if name not in points:
        nearest = difflib.get_close_matches(name, points, n=1)
        hint = f" did you mean {nearest[0]}?" if nearest else ""
        raise UsageError(f"unknown domain {name!r}:{hint} installed are {', '.join(sorted(points))}.")
    try:
        domain = points[name].load()
    except (ImportError, AttributeError, SyntaxError) as error:
        raise SystemStateError(
            f"the domain {name!r} ({points[name].value}) cannot be imported ({error}): mend or uninstall its package."
        ) from error
    if not isinstance(domain, Domain):
        raise SystemStateError(f"the entry point of domain {name!r} is no shared.domain.Domain: mend its package.")
    return domain
