"""What a class must provide to turn its library's models into backbones of four levels."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class LibraryModel(nn.Module):
    """The part of an `AdaptedPyramid` that depends on the library.

    Attributes:
        arch: the library's name for the model.
        trunk: the library's model.
        known: names of the model's tensors, including those that were left out.
        idle: names of its parameters on which no level depends.
        with_cp: whether blocks are recomputed in the backward pass.
    """

    arch: str
    in_channels: int
    image_size: tuple[int, int] | None
    trunk: nn.Module
    plain: bool
    indices: list[int]
    known: set[str]
    idle: set[str]
    with_cp: bool

    def build_trunk(self, drop_path_rate: float | None) -> nn.Module:
        """Build the library's model with random weights and without classifier."""
        raise NotImplementedError

    def maps(self) -> list[tuple[int, float]]:
        """Return channels and stride, in pixels, of each map that the model can give."""
        raise NotImplementedError

    def take(self, indices: list[int]) -> None:
        """Choose the maps that `trunk_maps` returns, and remove what they do not need."""
        raise NotImplementedError

    def trunk_maps(self, images: Tensor) -> list[Tensor]:
        """Compute the chosen maps, (B, C, H, W) each."""
        raise NotImplementedError

    def blocks(self) -> Sequence[nn.Module]:
        """Return the blocks of a plain transformer, from first to last."""
        raise NotImplementedError

    def prefix_tokens(self) -> int:
        """Return how many class and register tokens precede the patch tokens."""
        raise NotImplementedError

    def groups(self, *, coarse: bool) -> dict[str, int]:
        """Return the layer of each of the model's parameters, from 0 at the images."""
        raise NotImplementedError

    def own_size(self) -> tuple[int, int]:
        """Return the height and width for which the model was built, in pixels."""
        raise NotImplementedError

    def licence(self) -> str | None:
        """Return the licence of the published weights as the library states it."""
        return None

    def left_out(self) -> tuple[str, ...]:
        """Return the prefixes of tensors in published files that a backbone does not have."""
        return ()

    def first_kernels(self) -> Sequence[str]:
        """Return the names of the kernels that read images."""
        return ()

    def converted(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return a published file's tensors with this model's names and sizes."""
        raise NotImplementedError

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute blocks in the backward pass, or store their activations (timm's name)."""
        raise NotImplementedError

    def no_weight_decay(self) -> set[str]:
        """Return the names of parameters that the model exempts from weight decay."""
        own = self.trunk.no_weight_decay() if hasattr(self.trunk, 'no_weight_decay') else ()
        return {f'trunk.{name}' for name in own}
