"""The simultaneous translator as a SimulEval agent, for the plain ``simuleval`` command.

    simuleval --agent .../domains/translation/simuleval_agent.py --policy FOLDER --base MODEL --rule threshold:0.5
        --source source.txt --target target.txt --latency-metrics AL LAAL AP DAL

or with ``--agent-class domains.translation.simuleval_agent.SimultaneousAgent``. Into Chinese and Japanese add
``--eval-latency-unit char --sacrebleu-tokenizer zh`` (``ja-mecab``); out of them, write a space between the
characters of the source, since SimulEval reads a source in the parts between its spaces.

SimulEval asks once a source unit: every unit written until the next READ goes into one WriteAction.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from simuleval.agents import TextToTextAgent
from simuleval.agents.actions import Action, ReadAction, WriteAction
from simuleval.utils import entrypoint

from domains.translation.decoder.rules import parse_rule
from domains.translation.decoder.settings import DecodingConfig
from domains.translation.units import Unit, join_units
from shared.errors import UsageError, ValignError

if TYPE_CHECKING:
    from domains.translation.decoder.session import Session

_DEFAULTS = DecodingConfig()
_CONFIG = ("temperature", "top_p", "seed", "tokens_per_source_token", "extra_tokens", "no_repeat_ngram")


@entrypoint
class SimultaneousAgent(TextToTextAgent):
    """Writes what `domains.translation.decoder.session.Session` writes.

    Args:
        session: of the policy.
        target_unit: of the target language.
    """

    def __init__(self, session: "Session", target_unit: Unit) -> None:
        self._unit: Unit = target_unit
        self._session, self._pushed = session, 0
        super().__init__()

    def reset(self) -> None:
        """Another sentence begins."""
        super().reset()
        self._session.restart()
        self._pushed = 0

    def policy(self) -> Action:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Reads what came since it was asked last, and gives all units that are ready."""
        session, source, ended = self._session, self.states.source, self.states.source_finished
        new, self._pushed = source[self._pushed :], len(source)
        units: list[str] = []
        for number, text in enumerate(new, 1):
            units += session.push(text, last=ended and number == len(new))
        if ended and not new:
            units += session.finish()
        if units or session.done:
            return WriteAction(join_units(units, self._unit), finished=session.done)
        return ReadAction()

    def to(self, device: str, fp16: bool = False, **_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Moves the policy, as ``--device`` says."""
        if fp16:
            raise SystemExit("the agent decodes in float32 or bf16: leave out --fp16 (see --precision).")
        self._session.to(device)

    @staticmethod
    def add_args(parser: ArgumentParser) -> None:
        """Its own arguments beside SimulEval's."""
        parser.add_argument("--policy", required=True, help="Folder of the simultaneous policy.")
        parser.add_argument(
            "--base", help="Base model: packaged name, folder or hub id (a policy that is a whole model: none)."
        )
        parser.add_argument(
            "--rule", default="threshold:0.5", help="When to read: threshold:C, wait-k:K, offline, lsg:..., latency:..."
        )
        parser.add_argument(
            "--precision",
            choices=("auto", "float32", "bf16"),
            default="auto",
            help="Number format of the weights; auto: bf16 where the processor has it.",
        )
        for name in _CONFIG:
            value = getattr(_DEFAULTS, name)
            parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)

    @classmethod
    def from_args(cls, args: Namespace) -> "SimultaneousAgent":
        """Loads the policy; a fault is told in one sentence."""
        try:
            return cls._opened(args)
        except ValignError as error:
            raise SystemExit(f"simuleval agent: {error}") from None

    @classmethod
    def _opened(cls, args: Namespace) -> "SimultaneousAgent":
        from pydantic import ValidationError

        from domains.translation.decoder.session import Session
        from domains.translation.policy import load_for_decoding
        from domains.translation.settings import read_format
        from shared.device import pick_device
        from shared.home import models_folder
        from shared.models import load_tokenizer, resolve

        rule = parse_rule(args.rule)
        folder = Path(args.policy).expanduser().absolute()
        form = read_format(folder)
        try:
            config = DecodingConfig(**{name: getattr(args, name) for name in _CONFIG})
        except ValidationError as error:
            found = error.errors()[0]
            option = str(found["loc"][0]).replace("_", "-")
            raise UsageError(f"--{option} {found['input']}: {found['msg'].lower()}.") from error
        if args.base is None and not (folder / "config.json").is_file():
            raise UsageError(f"{folder} holds an adapter: name its base model with --base.")
        base = folder if args.base is None else resolve(args.base, models_folder()).path
        tokenizer = load_tokenizer(folder if (folder / "tokenizer.json").is_file() else base)
        assert form.target_unit is not None
        policy = load_for_decoding(base, folder, pick_device(args.precision))
        return cls(Session(policy, tokenizer, rule, config), form.target_unit)
