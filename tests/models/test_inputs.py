"""Synthetic inputs."""

from __future__ import annotations

import torch
from torch import nn

from archbench.core.spec import ModelSpec
from archbench.models.inputs import BLOCK, synthetic_inputs


def test_a_large_batch_repeats_its_first_images_in_the_same_layout() -> None:
    spec = ModelSpec.of(nn.Identity, name="net", inputs=[(3, 8, 8), (5,)])
    layout = torch.channels_last
    block = synthetic_inputs(spec, BLOCK, dtype=torch.float16, memory_format=layout)
    large = synthetic_inputs(spec, 2 * BLOCK + 7, dtype=torch.float16, memory_format=layout)
    for few, many in zip(block, large, strict=True):
        assert many.dtype == torch.float16
        assert len(many) == 2 * BLOCK + 7
        assert all(torch.equal(many[row], few[row % BLOCK]) for row in range(len(many)))
        assert many.untyped_storage().nbytes() == 2 * many.numel()
    assert large[0].is_contiguous(memory_format=layout)
    assert not torch.equal(block[0][0], block[0][1])
