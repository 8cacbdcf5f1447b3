"""One of two processes that train a backbone with FSDP2 and DDP; test_modules.py starts them."""

import sys

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

import backbones
from backbones.stage import Stage


def build(cls: type) -> nn.Module:
    torch.manual_seed(0)
    model = cls(cls.NANO)
    model.init_weights()
    return model.double().eval()  # otherwise each process would normalise by half a batch


def parts(model: nn.Module, what: str) -> list[nn.Module]:
    if what == 'stage':
        return [m for m in model.modules() if isinstance(m, Stage)]
    if what == 'block':
        return [block for stage in model.stages for block in stage.blocks]
    return [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]


def step(model: nn.Module, images: Tensor) -> None:
    sum(level.square().mean() for level in model(images)).backward()


def gradients(model: nn.Module) -> dict[str, Tensor]:
    found = {}
    for name, parameter in model.named_parameters():
        grad = parameter.grad
        found[name] = grad.full_tensor() if isinstance(grad, DTensor) else grad
    return found


def main() -> None:
    dist.init_process_group('gloo')
    mesh = init_device_mesh('cpu', (2,))
    generator = torch.Generator().manual_seed(dist.get_rank())
    images = torch.randn(1, 3, 64, 64, generator=generator).double()
    for name in sys.argv[1:]:
        cls = getattr(backbones, name)
        model = build(cls)
        step(DistributedDataParallel(model), images)
        expected = gradients(model)
        floor = 1e-6 * max(g.abs().max() for g in expected.values())
        for what in ('stage', 'block', 'layer'):
            model = build(cls)
            for part in parts(model, what):
                fully_shard(part, mesh=mesh)
            fully_shard(model, mesh=mesh)
            step(model, images)
            for key, grad in gradients(model).items():
                error = (grad - expected[key]).abs().max()
                largest = expected[key].abs().max()
                assert error <= 1e-9 * largest + floor, (name, what, key, error, largest)
            if dist.get_rank() == 0:
                print(name, what, 'equal', flush=True)
    dist.destroy_process_group()


if __name__ == '__main__':
    main()
