"""A tokenizer and a model that need no training: what the model knows is what it was shown."""

import re
from contextlib import contextmanager

import numpy as np
import torch

from kis_plugin.tokenized.tokenizer import Encoded


class Words:
    """One token a word, with the space before it, or a mark; ids in order of appearance."""

    eos = 0
    fingerprint = "words"

    def __init__(self):
        self.ids = {}

    def encode(self, texts):
        pieces = [list(re.finditer(r"\s?\w+|\W", text)) for text in texts]
        return [
            Encoded(
                tuple(self.ids.setdefault(piece.group(), len(self.ids) + 1) for piece in found),
                tuple(piece.end() for piece in found),
            )
            for found in pieces
        ]

    def decode(self, ids):
        words = ["", *self.ids]
        return "".join(words[token] if token < len(words) else "?" for token in ids)

    def breaks(self):
        words = ["", *self.ids]
        return np.array([word == "." for word in words]), np.array([word[:1].isspace() for word in words])


class Knowing:
    """A model that goes on with the sentences it knows, and is indifferent everywhere else.

    It may like some words better than others wherever they stand.
    """

    def __init__(self, tokenizer):
        self.tokenizer, self.next, self.liked, self.modes = tokenizer, {}, {}, []

    def learn(self, sentences):
        for text in self.tokenizer.encode(sentences):
            ids = (0, *text.ids)
            self.next |= {ids[:at]: ids[at] for at in range(1, len(ids))}

    def like(self, liked):
        (text,) = self.tokenizer.encode([" ".join(["", *liked])])
        self.liked |= dict(zip(text.ids, liked.values(), strict=True))

    def logits(self, input_ids):
        self.modes.append("probed")
        logits = torch.zeros(*input_ids.shape, len(self.tokenizer.ids) + 1)
        for word, liking in self.liked.items():
            logits[:, :, word] = liking
        for number, row in enumerate(input_ids.tolist()):
            for at in range(len(row)):
                known = self.next.get(tuple(row[: at + 1]))
                if known is not None:
                    logits[number, at, known] = 10.0
        return logits

    @contextmanager
    def evaluating(self):
        self.modes.append("evaluation")
        yield
        self.modes.append("training")
