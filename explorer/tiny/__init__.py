"""The bundled model: a seeded grammar of known entropy, and the little Llama that learned it.

`corpus` writes the text, `tokenizer` learns the vocabulary, `train` the weights, `calibrate`
measures the weights against the grammar, `card` writes the model card from those measurements.
"""
