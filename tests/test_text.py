"""Text of tokens one at a time: what is put together is the text, and no half character shows."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from explorer.text import HALF, TextStream

SENTENCES = [
    "Die Füchsin läuft über die Brücke, während es schneit.",
    "日本語の文章は分かち書きをしない。雪が降る。",
    "Emoji: 🦊🦉👩‍👩‍👧 and flags 🇩🇪🇯🇵, naïve café — “quotes”.",
    "def f(x):\n    return x ** 2\n",
] * 3


@cache
def byte_level() -> TextStream:
    """A byte-level BPE trained here; with so few merges most characters are several tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<end>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return TextStream(PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>"))


@cache
def word_pieces() -> TextStream:
    """Sentencepiece's form: a word's first token carries its space, unknown bytes fall back."""
    vocabulary = {"<unk>": 0, "<s>": 1} | {f"<0x{byte:02X}>": 2 + byte for byte in range(256)}
    for piece in ("▁", "▁the", "▁fox", "es", "▁ran", "l", "o", "w"):
        vocabulary[piece] = len(vocabulary)
    tokenizer = Tokenizer(
        models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>", byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return TextStream(PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>"))


def grow(stream: TextStream, prompt: list[int], tokens: list[int]) -> list[str]:
    tail, texts = stream.start(prompt), []
    for token in tokens:
        [(text, tail)] = stream.extend([tail], [token])
        texts.append(text)
    return texts


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(text=st.text(min_size=1, max_size=30), cut=st.integers(0, 29))
def test_pieces_put_together_are_the_text_and_no_half_character_shows(text: str, cut: int) -> None:
    stream = byte_level()
    assert stream.tokenizer is not None
    prompt, rest = text[: cut % len(text)], text[cut % len(text) :]
    ids = stream.tokenizer.encode(prompt)
    tokens = stream.tokenizer.encode(rest)
    assert "".join(stream.prompt_texts(ids)) == prompt
    shown = grow(stream, ids, tokens)
    assert "".join(shown) == rest
    if HALF not in rest:
        assert not any(HALF in piece for piece in shown)


def test_a_character_of_four_tokens_shows_with_its_last() -> None:
    stream = byte_level()
    assert stream.tokenizer is not None
    tokens = stream.tokenizer.encode("a𝄞b")
    assert len(tokens) == 6
    assert grow(stream, [], tokens) == ["a", "", "", "", "𝄞", "b"]
    assert [len(stream.raw(token)) for token in tokens] == [1] * 6  # the record keeps each token


def test_a_character_begun_in_the_prompt_is_completed_by_the_path() -> None:
    stream = byte_level()
    assert stream.tokenizer is not None
    tokens = stream.tokenizer.encode("a𝄞b")
    assert stream.prompt_texts(tokens[:3]) == ["a", "", ""]
    assert grow(stream, tokens[:3], tokens[3:]) == ["", "𝄞", "b"]


def test_two_paths_complete_one_half_each_in_its_own_way() -> None:
    stream = byte_level()
    assert stream.tokenizer is not None
    [first, e_acute] = stream.tokenizer.convert_tokens_to_ids(["Ã", "©"])  # bytes C3 and A9
    [e_grave] = stream.tokenizer.convert_tokens_to_ids(["¨"])  # byte A8
    tail = stream.start([])
    [(text, tail)] = stream.extend([tail], [first])
    assert text == ""
    both = stream.extend([tail, tail], [e_acute, e_grave])
    assert [text for text, _ in both] == ["é", "è"]


def test_bytes_that_make_no_character_show_as_such_once_the_next_has_come() -> None:
    stream = byte_level()
    assert stream.tokenizer is not None
    [lonely, letter] = stream.tokenizer.convert_tokens_to_ids(["Ã", "b"])
    assert grow(stream, [], [lonely, letter, letter]) == ["", HALF + "b", "b"]


def test_a_long_text_is_decoded_by_its_end_alone() -> None:
    """Cost and memory of a path's tail do not grow with the path."""
    stream = byte_level()
    assert stream.tokenizer is not None
    tokens = stream.tokenizer.encode("snow ✓ " * 200)
    tail = stream.start([])
    texts = []
    for token in tokens:
        [(text, tail)] = stream.extend([tail], [token])
        texts.append(text)
        assert len(tail.ids) < 16
    assert "".join(texts) == "snow ✓ " * 200


def test_end_tokens_add_no_text() -> None:
    stream = byte_level()
    assert stream.tokenizer is not None
    end = stream.tokenizer.eos_token_id
    [letter] = stream.tokenizer.encode("a")
    assert grow(stream, [], [letter, end, letter]) == ["a", "", "a"]
    assert stream.raw(end) == "<end>"
    assert stream.piece(end) == "<end>"


def test_spaces_of_word_pieces_are_kept_between_words_and_not_put_before_the_first() -> None:
    stream = word_pieces()
    assert stream.tokenizer is not None
    names = ["<s>", "▁the", "▁fox", "es", "▁ran", "<0xC3>", "<0xA9>", "▁", "l", "o", "w"]
    tokens = stream.tokenizer.convert_tokens_to_ids(names)
    shown = ["", "the", " fox", "es", " ran", "", "é", " ", "l", "o", "w"]
    assert stream.prompt_texts(tokens) == shown
    for cut in range(2, len(tokens)):
        if names[cut] != "<0xA9>":
            assert grow(stream, tokens[:cut], tokens[cut:]) == shown[cut:]


def test_a_token_on_its_own_keeps_its_space_and_half_a_character_its_raw_form() -> None:
    words, bytes_ = word_pieces(), byte_level()
    assert words.tokenizer is not None
    assert bytes_.tokenizer is not None
    [fox, half] = words.tokenizer.convert_tokens_to_ids(["▁fox", "<0xC3>"])
    assert (words.piece(fox), words.raw(fox)) == (" fox", "▁fox")
    assert words.piece(half) == "<0xC3>"
    [half, space_a] = bytes_.tokenizer.convert_tokens_to_ids(["Ã", "Ġ"])
    assert bytes_.piece(half) == "Ã"
    assert bytes_.piece(space_a) == " "


def test_without_a_tokenizer_a_token_reads_as_its_id() -> None:
    stream = TextStream(None)
    assert grow(stream, [1], [5, 63]) == ["<5>", "<63>"]
    assert (stream.piece(5), stream.raw(5)) == ("<5>", "<5>")
    assert stream.prompt_texts([1, 2]) == ["<1>", "<2>"]


def test_an_id_beyond_the_tokenizer_still_reads_as_something() -> None:
    """Models pad their vocabulary: such a token can be drawn."""
    stream = byte_level()
    assert stream.raw(5000) == "<5000>"
    assert grow(stream, [], [5000]) == [""]


@pytest.mark.parametrize("text", SENTENCES[:4])
def test_the_training_sentences_come_back_whole(text: str) -> None:
    stream = byte_level()
    assert stream.tokenizer is not None
    assert "".join(grow(stream, [], stream.tokenizer.encode(text))) == text
