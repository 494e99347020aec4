"""A byte-level BPE tokenizer: any text can be encoded; a word of the corpus is one token."""

from itertools import islice

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from explorer.tiny.corpus import LENGTHS, documents

END = "<|endoftext|>"
VOCAB_SIZE = 2048
# A digit is a token of its own (with the space before it), so that sums can be learned.
PIECES = r" ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def train_tokenizer(seed: int = 0, num_documents: int = 24_000) -> PreTrainedTokenizerFast:
    """Learn the merges from the corpus; a text begins with `<|endoftext|>`, which also ends it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    each = num_documents // len(LENGTHS)
    for_training = (
        document.text
        for num_tokens in LENGTHS
        for document in islice(documents("train", seed, num_tokens), each)
    )
    tokenizer.train_from_iterator(for_training, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{END} $A", special_tokens=[(END, tokenizer.token_to_id(END))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END,
        eos_token=END,
        pad_token=END,
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )
