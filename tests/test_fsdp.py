"""QuantumTrain under fully_shard (FSDP2): every group has an axis to shard along."""

from __future__ import annotations

import pytest
import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.testing import assert_close

from qnnw.nn import QuantumTrain


@pytest.fixture
def one_rank(tmp_path):
    store = distributed.FileStore(str(tmp_path / "store"), 1)
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_sharded_numbers_train(one_rank):
    from torch.distributed.fsdp import fully_shard

    network = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.LayerNorm(6), nn.Linear(6, 3))
    plain, sharded = (QuantumTrain(network, reps=2) for _ in range(2))
    fully_shard(sharded, mesh=init_device_mesh("cpu", (1,)))
    inputs = torch.linspace(-1, 1, 20).view(5, 4)
    optimizers = [torch.optim.Adam(model.parameters(), lr=0.1) for model in (plain, sharded)]
    for _ in range(3):
        losses = [model(inputs).square().sum() for model in (plain, sharded)]
        assert torch.equal(*losses)
        for loss, optimizer in zip(losses, optimizers, strict=True):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert_close(sharded.gamma.full_tensor(), plain.gamma)
