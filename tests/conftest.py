"""A home of its own for every test, and the tiny random models and pairs that training is tested with."""

import os
import random
from pathlib import Path

import pytest

from shared.records import Message, PreferenceRecord

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("DO_NOT_TRACK", "true")
if "PYTEST_XDIST_WORKER" in os.environ:
    # A worker for each core: further threads of torch, here and in the commands that tests start, would only wait for
    # each other. Read when torch is imported, which nothing has done yet.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def pytest_configure(config: pytest.Config) -> None:
    """Has xdist hand out files in the order of `pytest_collection_modifyitems`, not by their numbers of tests."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks tests on real data slow; has files that take minutes come first, so that the workers of xdist end together.

    Whole commands, then other slow files; the order within a file stays.
    """
    for item in items:
        if "real_data" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, "e2e" not in item.path.parts))


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALIGN_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets, where VALIGN_DATA_DIR names it."""
    folder = os.environ.get("VALIGN_DATA_DIR")
    if not folder or not Path(folder).is_dir():
        pytest.skip("VALIGN_DATA_DIR names no folder of real data")
    return Path(folder).resolve()


CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|start|>' + message['role'] + '\n' + message['content'] + '<|end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant\n' }}{% endif %}"
)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random Llama (2 layers, hidden size 32) whose tokens are bytes, with a chat template."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-llama")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    specials = ["<|pad|>", "<|start|>", "<|end|>"]
    vocabulary = {token: number for number, token in enumerate([*specials, *alphabet])}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore
    inner.decoder = decoders.ByteLevel()  # pyright: ignore
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<|pad|>", bos_token="<|start|>", eos_token="<|end|>"
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random BERT (2 layers, hidden size 32) over letters."""
    import string

    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("tiny-bert")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    for letter in string.ascii_lowercase + string.digits + ".,?!":
        pieces += [letter, f"##{letter}"]
    (folder / "vocab.txt").write_text("\n".join(pieces))
    tokenizer = BertTokenizer(vocab={piece: number for number, piece in enumerate(pieces)})
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=256,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def toy_pairs() -> list[PreferenceRecord]:
    """24 pairs of different lengths; the chosen responses say "good", the rejected ones "bad"."""
    draw = random.Random(0)
    words = ["sleep", "work", "rest", "friend", "walk", "talk", "day"]
    pairs = []
    for number in range(24):
        text = " ".join(draw.choices(words, k=draw.randint(2, 8)))
        pairs.append(
            PreferenceRecord(
                id=f"pair-{number}",
                group_id=f"group-{number}",
                source=f"toy.csv:{number + 2}",
                prompt=(Message("user", f"how is my {text}?"),),
                chosen="good " + " ".join(draw.choices(words, k=draw.randint(1, 6))),
                rejected="bad " + " ".join(draw.choices(words, k=draw.randint(1, 6))),
            )
        )
    return pairs


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of a test run share: what is made there takes a lock."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def packaged_cache(run_folder: Path) -> Path:
    """Folder where packaged models are unpacked, once a test run.

    VALIGN_TEST_MODELS names one that is kept between test runs.
    """
    kept = os.environ.get("VALIGN_TEST_MODELS")
    return Path(kept) if kept else run_folder / "packaged-models"
