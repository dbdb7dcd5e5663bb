"""A policy's weights as a GGUF file, which llama.cpp reads."""

from pathlib import Path
from typing import Any, Literal

from shared.errors import UsageError

WeightType = Literal["f32", "bf16", "q8_0"]
# Architectures whose tensors need no change but that of their names (and, for Llama, of the rotary layout).
ARCHITECTURES = {"LlamaForCausalLM": "llama", "Qwen2ForCausalLM": "qwen2", "Qwen3ForCausalLM": "qwen3"}


def write_gguf(model: Any, path: Path, weights: WeightType) -> None:
    """Writes a model without its vocabulary: llama.cpp gets and gives token ids.

    Args:
        model: plain transformers model with float32 weights (adapters merged).
        path: file to write.
        weights: number format of the matrices; norms stay float32. q8_0: 8 bits, one scale a block of 32.

    Raises:
        UsageError: another architecture, or position scaling that is not written here.
    """
    import gguf
    import torch

    config = model.config
    name = (config.architectures or [type(model).__name__])[0]
    if name not in ARCHITECTURES:
        raise UsageError(
            f"the engine llama.cpp cannot take a {name}: only {', '.join(ARCHITECTURES)} are written as GGUF here; "
            "use engine transformers."
        )
    rope = dict(getattr(config, "rope_parameters", None) or {})
    if rope.get("rope_type", "default") != "default":
        raise UsageError(
            f"the engine llama.cpp cannot take a model with {rope['rope_type']} position scaling: that is not written "
            "as GGUF here; use engine transformers."
        )
    architecture = ARCHITECTURES[name]
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    head_size = getattr(config, "head_dim", None) or config.hidden_size // heads
    writer = gguf.GGUFWriter(str(path), architecture)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(head_size)
    writer.add_value_length(head_size)
    writer.add_rope_dimension_count(head_size)
    writer.add_rope_freq_base(float(rope.get("rope_theta", 10_000.0)))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("none")
    kinds = {
        "f32": gguf.GGMLQuantizationType.F32,
        "bf16": gguf.GGMLQuantizationType.BF16,
        "q8_0": gguf.GGMLQuantizationType.Q8_0,
    }
    named = gguf.get_tensor_name_map(
        next(kind for kind, text in gguf.MODEL_ARCH_NAMES.items() if text == architecture), config.num_hidden_layers
    )
    tied = bool(getattr(config, "tie_word_embeddings", False))
    for key, tensor in model.state_dict().items():
        if key == "lm_head.weight" and tied:
            continue
        place = named.get_name(key, try_suffixes=(".weight", ".bias"))
        if place is None:
            raise UsageError(f"the engine llama.cpp cannot take this model: {key} has no place in a GGUF file.")
        values = tensor.detach().to(torch.float32).cpu()
        if architecture == "llama" and ".self_attn.q_proj." in key:
            values = _rotary_layout(values, heads)
        elif architecture == "llama" and ".self_attn.k_proj." in key:
            values = _rotary_layout(values, kv_heads)
        kind = kinds["f32"] if values.ndim == 1 else kinds[weights]
        if kind == kinds["q8_0"] and values.shape[-1] % 32:
            kind = kinds["bf16"]
        data = gguf.quants.quantize(values.contiguous().numpy(), kind)
        writer.add_tensor(place, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _rotary_layout(weight: Any, heads: int) -> Any:
    """transformers rotates the halves of a head against each other, llama.cpp neighbouring rows: the rows move."""
    rows = weight.shape[0] // heads // 2
    return weight.reshape(heads, 2, rows, *weight.shape[1:]).transpose(1, 2).reshape(weight.shape)
