"""What a run begins with, as token ids: the prompt, and what an encoder reads."""

from __future__ import annotations

from explorer.config import InputError, RunConfig
from explorer.events import PromptToken
from explorer.models import LoadedModel
from explorer.seq2seq import source_context, start_tokens
from explorer.text import TextStream


def prompt_ids(model: LoadedModel, config: RunConfig) -> tuple[int, ...]:
    """The prompt and the given beginning after it as token ids; of a model with an encoder, which
    reads the prompt, what its decoder begins with instead.

    Raises InputError where the prompt is empty, a token foreign, or all of it too long.
    """
    ids = _given(model, config)
    ids = (*(start_tokens(model.module) if model.is_encoder_decoder else ids), *config.prefix_ids)
    context, new = model.info.context, config.limits.max_new_tokens
    if context is not None and len(ids) + new > context:
        prefix = f", {len(config.prefix_ids)} of them given after it," if config.prefix_ids else ""
        tokens = f"{len(ids)} token{'' if len(ids) == 1 else 's'}{prefix}"
        begins = f"The prompt has {tokens}"
        remedy = "shorten the prompt or lower max_new_tokens"
        if model.is_encoder_decoder:
            begins, remedy = f"The decoder begins with {tokens}", "lower max_new_tokens"
        raise InputError(
            f"{begins} and max_new_tokens is {new}, together more than the {context} positions of "
            f"{model.info.name}; {remedy}."
        )
    return ids


def source_ids(model: LoadedModel, config: RunConfig) -> tuple[int, ...]:
    """What an encoder reads, as token ids: the prompt; () for a model without an encoder.

    Raises InputError where the prompt is empty, a token foreign, or all of it too long.
    """
    if not model.is_encoder_decoder:
        return ()
    ids, context = _given(model, config), source_context(model.module)
    if context is not None and len(ids) > context:
        raise InputError(
            f"The prompt has {len(ids)} tokens, more than the {context} positions of "
            f"{model.info.name}'s encoder; shorten the prompt."
        )
    return ids


def _given(model: LoadedModel, config: RunConfig) -> tuple[int, ...]:
    """The prompt as token ids."""
    ids = config.prompt_ids if config.prompt_ids is not None else _encode(model, config)
    if not ids:
        raise InputError("The prompt is empty; give at least one token of text to continue.")
    vocab = model.info.vocab_size
    for name, given in (("prompt_ids", ids), ("prefix_ids", config.prefix_ids)):
        if given and not 0 <= min(given) <= max(given) < vocab:
            raise InputError(f"{name} must lie in 0..{vocab - 1} for this model.")
    return tuple(ids)


def _encode(model: LoadedModel, config: RunConfig) -> list[int]:
    tokenizer = model.tokenizer
    if not config.prompt.strip():
        return []
    if tokenizer is None:
        raise InputError(f"{model.info.name} has no tokenizer; give prompt_ids instead of text.")
    if not config.chat_template:
        return list(tokenizer.encode(config.prompt))
    if not tokenizer.chat_template:
        raise InputError(f"{model.info.name} has no chat template; switch chat_template off.")
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": config.prompt}], add_generation_prompt=True, tokenize=False
    )
    return list(tokenizer.encode(text, add_special_tokens=False))


def prompt_tokens(text: TextStream, ids: tuple[int, ...]) -> tuple[PromptToken, ...]:
    """Token ids as a header has them."""
    return tuple(
        PromptToken(token, shown, text.raw(token))
        for token, shown in zip(ids, text.prompt_texts(ids), strict=True)
    )
