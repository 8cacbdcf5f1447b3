"""Low-rank adapters in the backbone (LoRA) with peft; their checkpoints load without it.

A checkpoint's `state_dict` has the adapters merged into the layers, under their plain names: test,
prediction and export load it like any other. Its entry `lora` holds the adapters, so that a resumed
run continues with the same numbers.

Source: Hu et al., LoRA (arXiv:2106.09685), section 4.
"""

from collections.abc import Iterator
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn

from backbones.errors import CheckpointError, MissingOperatorError
from backbones.openmmlab.compat import is_resuming
from backbones.openmmlab.runner import QuietRunner
from backbones.training.hooks import backbone_of, unwrapped

NAME = 'default'  # peft's name of the first adapter
ENTRY = 'lora'  # entry of checkpoints
BASE = 'base_layer'  # peft's name of the layer that it wraps
PARTS = ('lora_A', 'lora_B')
MISSING = "--lora needs the package peft: pip install 'dense-backbones[lora]'"


def is_adapted(module: nn.Module) -> bool:
    """Return whether a layer gets an adapter: linear, or a dense convolution of 1x1."""
    dense = isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.groups == 1
    return isinstance(module, nn.Linear) or dense


def add_adapters(backbone: nn.Module, rank: int) -> None:
    """Put an adapter beside each layer of a backbone, and freeze everything else but output norms.

    The backbone keeps its class. Its `state_dict()` has the plain names and merged weights, and
    loading plain weights resets the adapters, which then change nothing.

    Args:
        backbone: any module; output norms are those in the class attribute `NORM_NAMES`.
        rank: rank of each adapter; alpha has the same value, so the product is scaled by 1.

    Raises:
        MissingOperatorError: peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model  # imports transformers, for seconds
    except ImportError as error:
        raise MissingOperatorError(MISSING) from error
    names = [name for name, module in backbone.named_modules() if is_adapted(module)]
    norms = getattr(backbone, 'NORM_NAMES', ())
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=names), backbone)
    for name in norms:
        if hasattr(backbone, name):
            getattr(backbone, name).requires_grad_(True)
    for _, layer in adapters(backbone):
        layer.register_state_dict_post_hook(_to_plain)
        layer.register_load_state_dict_pre_hook(_from_plain)
    # a backbone draws its initial weights, including those of layers inside adapters
    backbone.init_weights = _resetting(backbone, backbone.init_weights)


def _resetting(backbone: nn.Module, init_weights: Any) -> Any:
    def init() -> None:
        init_weights()
        for _, layer in adapters(backbone):
            layer.reset_lora_parameters(NAME, init_lora_weights=True)

    return init


def adapters(backbone: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield names and modules of the layers with an adapter."""
    for name, module in backbone.named_modules():
        if hasattr(module, BASE) and hasattr(module, PARTS[0]):
            yield name, module


def _to_plain(layer: Any, state: dict, prefix: str, _: object) -> None:
    for key in [key for key in state if key.startswith(prefix)]:
        value = state.pop(key)
        kind, _, rest = key.removeprefix(prefix).partition('.')
        if kind == BASE:
            merged = rest == 'weight'
            state[prefix + rest] = (
                value + layer.get_delta_weight(NAME).detach() if merged else value
            )


def _from_plain(layer: Any, state: dict, prefix: str, *_: object) -> None:
    for key in [key for key in state if key.startswith(prefix)]:
        state[f'{prefix}{BASE}.{key.removeprefix(prefix)}'] = state.pop(key)
    for part in PARTS:
        weight = getattr(layer, part)[NAME].weight
        state[f'{prefix}{part}.{NAME}.weight'] = (
            torch.zeros_like(weight) if part == PARTS[1] else weight.detach()
        )


@HOOKS.register_module()
class LoraHook(Hook):
    """Save the adapters, and restore them when a training run is resumed."""

    priority = 'VERY_HIGH'  # before an evaluation that is due
    kept: dict[str, list[Tensor]] | None = None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        checkpoint[ENTRY] = {
            name: [tensor.detach().cpu() for tensor in _parts(layer)]
            for name, layer in adapters(unwrapped(runner))
        }

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if not is_resuming(runner):
            return
        self.kept = checkpoint.get(ENTRY)
        if self.kept is None:
            raise CheckpointError(
                'the checkpoint is from a training run without --lora: resume without it, or start '
                'in another work dir from its weights (load_from)'
            )
        if said := contradiction(self.kept, unwrapped(runner), checkpoint['state_dict']):
            raise CheckpointError(
                f'the adapters in the checkpoint {said}: it was changed after it was written. '
                'Resume from another one, or start in another work dir from its weights (load_from)'
            )

    def before_train(self, runner: Runner) -> None:
        """Replace the merged weights, which MMEngine has loaded by now."""
        kept, self.kept = self.kept, None
        if kept is not None:
            for name, layer in adapters(unwrapped(runner)):
                for own, tensor in zip(_parts(layer), kept[name], strict=True):
                    own.data.copy_(tensor)


def contradiction(kept: Any, model: nn.Module, state: dict[str, Tensor]) -> str:
    """Describe how a file's adapters differ from a model's or the file's weights; '' if not.

    Args:
        kept: the file's entry `lora`.
        model: the model with adapters.
        state: the file's weights, into which the adapters are merged.
    """
    layers = dict(adapters(model))
    if not isinstance(kept, dict) or kept.keys() != layers.keys():
        return 'do not belong to the layers of this model'
    for name, layer in layers.items():
        shapes = [tuple(tensor.shape) for tensor in _parts(layer)]
        found = [tuple(getattr(tensor, 'shape', ())) for tensor in kept[name]]
        if found != shapes:
            return f'of {name} have the shapes {found}; allowed: {shapes}'
        base, first, second = kept[name]
        merged = base + (second.flatten(1) @ first.flatten(1)).reshape(base.shape)
        saved = state.get(f'{name}.weight')
        if saved is None or not _are_close(merged, saved):
            return f'of {name} do not yield the weights that the checkpoint has for that layer'
    return ''


def _are_close(merged: Tensor, saved: Tensor) -> bool:
    """Compare up to the precision of matrix products on GPUs."""
    if merged.shape != saved.shape:
        return False
    return bool((merged - saved.cpu()).abs().max() <= 1e-3 * merged.abs().max())


def _parts(layer: Any) -> list[Tensor]:
    return [layer.get_base_layer().weight, *(getattr(layer, p)[NAME].weight for p in PARTS)]


class LoraRunner(QuietRunner):
    """Adds adapters of the config's rank, `lora`, to the backbone before the optimizer is built."""

    def build_model(self, model: ConfigDict) -> nn.Module:
        built = super().build_model(model)
        add_adapters(backbone_of(built), self.cfg.lora)
        return built


def runner_for(cfg: Config) -> type[QuietRunner]:
    """Return the class of the runner that trains a config."""
    return LoraRunner if cfg.get('lora') else QuietRunner
