"""Models that the view of probes refuses."""

import pytest

pytest.importorskip("torch")

from kis_plugin.errors import KISError
from kis_torch.model_view import TorchModelView


def test_an_encoder_decoder_is_refused_by_name():
    transformers = pytest.importorskip("transformers")
    config = transformers.T5Config(vocab_size=64, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    with pytest.raises(KISError, match=r"an encoder-decoder \(T5ForConditionalGeneration\), expected a causal"):
        TorchModelView(transformers.T5ForConditionalGeneration(config))
