"""The texts that policies are measured on: held out, whole, with the questions in their places."""

from __future__ import annotations

import pytest

from explorer.config import InputError
from explorer.models import LoadedModel, load_model
from explorer.quality.passages import MIN_TOKENS, Passage, from_text, held_out, probes
from explorer.tiny.corpus import split_of
from explorer.tiny.words import SECRETS

END = "<|endoftext|>"


@pytest.fixture(scope="module")
def tiny() -> LoadedModel:
    return load_model("tiny", "cpu")


def text_of(tiny: LoadedModel, passage: Passage) -> str:
    assert tiny.tokenizer is not None
    return str(tiny.tokenizer.decode(passage.ids))


def test_held_out_passages_have_the_tokens_asked_for_and_are_the_same_every_time(
    tiny: LoadedModel,
) -> None:
    assert tiny.tokenizer is not None
    found = held_out(tiny.tokenizer, 4, 1024)
    assert [passage.num_predicted for passage in found] == [1024] * 4
    assert [p.name for p in found] == ["mixture 1", "recall 1", "questions 1", "mixture 2"]
    assert found == held_out(tiny.tokenizer, 4, 1024)
    assert len({passage.ids for passage in found}) == 4
    assert tiny.info.context is not None and tiny.info.context >= 1025


def test_no_document_of_a_passage_can_have_been_trained_on(tiny: LoadedModel) -> None:
    assert tiny.tokenizer is not None
    for passage in held_out(tiny.tokenizer, 4, 1024):
        begin, *documents, _ = text_of(tiny, passage).split(END)  # the last one is cut
        assert begin == ""
        assert [split_of(text) for text in documents] == ["held-out"] * len(documents)


def test_a_question_points_at_the_word_that_the_text_said_before(tiny: LoadedModel) -> None:
    assert tiny.tokenizer is not None
    passages = [*held_out(tiny.tokenizer, 4, 1024), *probes(tiny.tokenizer, 14, 2048)]
    asks = [(passage, ask) for passage in passages for ask in passage.asks]
    assert len(asks) > 30
    for passage, ask in asks:
        answer = passage.ids[ask.index : ask.end]
        said = ask.index - ask.distance
        assert passage.ids[said : said + len(answer)] == answer
        assert tiny.tokenizer.decode(answer).strip() in SECRETS
        before = tiny.tokenizer.decode(passage.ids[: ask.index])
        name = before.split()[-2]
        assert before.endswith(f"Q: What did {name} choose? A: {name} chose")


def test_probes_ask_near_and_far_once_each_and_end_with_the_answer(tiny: LoadedModel) -> None:
    assert tiny.tokenizer is not None
    found = probes(tiny.tokenizer, 14, 2048)
    distances = [passage.asks[0].distance for passage in found]
    assert all(passage.asks[-1].end == len(passage.ids) for passage in found)
    assert sum(distance < 64 for distance in distances) >= 2
    assert sum(distance > 512 for distance in distances) >= 4
    short = probes(tiny.tokenizer, 14, 128)
    assert 0 < len(short) < 14
    assert all(len(passage.ids) <= 128 for passage in short)


def test_a_text_becomes_passages_that_all_begin_as_a_text_does(tiny: LoadedModel) -> None:
    tokenizer = tiny.tokenizer
    assert tokenizer is not None
    text = "Mia ran to the beach. " * 300
    ids = tokenizer.encode(text, add_special_tokens=False)
    found = from_text(tokenizer, text, 256, 1000)
    begin = tokenizer.eos_token_id
    assert [p.ids[0] for p in found] == [begin] * 4
    assert [p.num_predicted for p in found] == [256, 256, 256, 1000 - 3 * 256]
    assert [token for p in found for token in p.ids[1:]] == ids[:1000]


def test_without_a_beginning_the_first_token_is_given_not_predicted(llama: LoadedModel) -> None:
    assert llama.tokenizer is not None
    text = "abcdefgh" * 100  # 800 tokens, a byte each
    found = from_text(llama.tokenizer, text, 300, 10_000)
    assert [p.num_predicted for p in found] == [300, 300, 800 - 2 * 301 - 1]
    assert [token for p in found for token in p.ids] == list(text.encode())


@pytest.mark.parametrize("length", [0, 10, MIN_TOKENS - 1])
def test_a_text_too_short_is_refused_with_the_minimum(llama: LoadedModel, length: int) -> None:
    assert llama.tokenizer is not None
    with pytest.raises(InputError, match=f"has {length} tokens .* at least 512 .*1,024"):
        from_text(llama.tokenizer, "x" * length, 256, 4096)
