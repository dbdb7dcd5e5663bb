"""The `judge` part of a recipe, and the judge it describes."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from shared.errors import UsageError
from shared.judges.answer_cache import AnswerCache, default_cache_file
from shared.judges.endpoint_config import EndpointConfig
from shared.judges.protocol import Judge
from shared.judges.ratings import RatingColumns, read_ratings
from shared.judges.rubric import TEMPLATES, Rubric
from shared.recipes import Component, load_recipe


class RatingsConfig(Component):
    """Ratings of people; the file itself is given beside the recipe."""

    columns: RatingColumns = RatingColumns()


class JudgeConfig(Component):
    """Who judges, how, and what becomes of it.

    Attributes:
        kind: a model at an ``endpoint``, a trained ``reward`` model, or ratings of people (``human``).
        method: ``pairs`` compares, ``scores`` scores each response by itself.
        rubric: name of a packaged rubric, or path of a YAML file (endpoint only).
        endpoint: where the model is (endpoint only).
        ratings: columns of the rating file (human only).
        repeats: how often an endpoint is asked, each time with another seed; needs a temperature above 0.
        tie_log_odds: log-odds up to which a reward model's verdict is a tie.
        comparisons: of K responses ``all`` pairs, or each against the ``first``.
        min_margin: least margin of a pair to train on: in win share (0 to 1), or in the rubric's or scorer's unit.
        max_failed_share: share of items without an answer above which the judging counts as failed.
        precision: number format of a reward model; see `pick_device`.
    """

    kind: Literal["endpoint", "reward", "human"] = "endpoint"
    method: Literal["pairs", "scores"] = "pairs"
    rubric: str = "general"
    endpoint: EndpointConfig | None = None
    ratings: RatingsConfig = RatingsConfig()
    repeats: int = Field(default=1, ge=1, le=100)
    tie_log_odds: float = Field(default=0.0, ge=0)
    comparisons: Literal["all", "first"] = "all"
    min_margin: float = Field(default=0.0, ge=0)
    max_failed_share: float = Field(default=0.2, ge=0, le=1)
    precision: Literal["auto", "float32", "bf16"] = "auto"

    @model_validator(mode="after")
    def _complete(self) -> "JudgeConfig":
        if self.kind == "endpoint" and self.endpoint is None:
            raise ValueError("a judge of kind endpoint needs endpoint.base_url and endpoint.model")
        if self.repeats > 1 and (self.endpoint is None or not self.endpoint.temperature):
            raise ValueError("repeats above 1 need an endpoint with a temperature above 0")
        return self


@contextmanager
def open_judge(
    config: JudgeConfig,
    rubric: Rubric | None,
    *,
    model: Path | None = None,
    base: Path | None = None,
    ratings: Path | None = None,
    fresh: bool = False,
) -> Iterator[Judge]:
    """The judge a configuration describes, for as long as it is needed.

    Args:
        config: the configuration.
        rubric: what an endpoint judges by.
        model: folder of the reward model.
        base: folder of its base model, where it is an adapter.
        ratings: file with the ratings of people.
        fresh: ask an endpoint anew although answers are kept.

    Raises:
        UsageError: the folder or file that the kind needs is not given.
        DataError: it is no reward model, or holds no ratings.
        SystemStateError: the endpoint's API key is named and not set.
    """
    if config.kind == "endpoint":
        from shared.judges.endpoint_judge import EndpointJudge

        if config.endpoint is None or rubric is None:
            raise UsageError("a judge of kind endpoint needs an endpoint and a rubric.")
        with AnswerCache(default_cache_file(), read=not fresh) as cache:
            yield EndpointJudge(config.endpoint, rubric, cache, repeats=config.repeats)
    elif config.kind == "reward":
        from shared.judges.reward_judge import RewardJudge
        from shared.rewards.loading import load_reward

        if model is None:
            raise UsageError("a judge of kind reward needs the folder of a reward model.")
        scorer = load_reward(model, base, config.precision)
        facts = {"model": type(scorer).__name__}
        yield RewardJudge(scorer, model.name, tie_log_odds=config.tie_log_odds, facts=facts)
    else:
        from shared.judges.ratings import HumanJudge

        if ratings is None:
            raise UsageError("a judge of kind human needs a file with ratings.")
        yield HumanJudge(read_ratings(ratings, config.ratings.columns), ratings.stem)


def judge_config_of(
    method: str,
    named: Mapping[str, str | None],
    places: Mapping[str, Path | None],
    file: Path | None,
    overrides: Sequence[str],
) -> JudgeConfig:
    """The configuration that a command's options describe.

    Args:
        method: ``pairs`` or ``scores``.
        named: ``rubric``, ``endpoint`` (address), ``model`` (at the endpoint), ``api_key_env``; None where not given.
        places: ``model`` (folder of a reward model) or ``ratings`` (file); they make the judge's kind.
        file: YAML file to begin with; None: the packaged one.
        overrides: further ``key=value``.

    Raises:
        UsageError: no judge or two are named, an unknown key, a wrong value.
    """
    if file is not None and not file.is_file():
        raise UsageError(f"the judge's configuration {file} is not there: give the path of a YAML file.")
    given = [name for name, value in (("--endpoint", named["endpoint"]), *places.items()) if value is not None]
    if len(given) > 1:
        raise UsageError("give one judge: an endpoint, a reward model, or a file with ratings.")
    kind = {"model": "reward", "ratings": "human"}.get(given[0]) if given else None
    keys = {
        "method": method,
        "kind": kind,
        "rubric": named["rubric"],
        "endpoint.base_url": named["endpoint"],
        "endpoint.model": named["model"],
        "endpoint.api_key_env": named["api_key_env"],
    }
    changes = [f"{key}={json.dumps(value)}" for key, value in keys.items() if value is not None]
    whole = file is None and kind is None and not any(one.startswith(("kind=", "endpoint.")) for one in overrides)
    if whole and (named["endpoint"] is None or named["model"] is None):
        raise UsageError(
            "name a judge: --endpoint URL with --model NAME, --reward FOLDER, --ratings FILE, or --config FILE."
        )
    return load_recipe(JudgeConfig, file or TEMPLATES / "judge.yaml", [*changes, *overrides])
