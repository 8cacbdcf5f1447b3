"""Run one config on eight GPUs, one GPU or the CPU."""

import contextlib
import ctypes
import logging
import os
import sys
from collections.abc import Iterator

import torch
import torch.distributed
from mmengine.config import Config

from backbones.errors import UserError
from backbones.openmmlab.config_tree import replace_sync_bn
from backbones.training.cpu_amp import CpuAmpOptimWrapper

AMP_DTYPES = ('bfloat16', 'float16')
# for glibc's mallopt: the size in bytes, at most 32 MiB, below which blocks come from the heap; and
# how much of the heap may be free before it is returned to the system
M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1


def require_cuda(device: str) -> None:
    """Apply `--device`.

    Raises:
        UserError: the device is 'cuda', but torch sees no GPU.
    """
    if device == 'cpu':
        os.environ['CUDA_VISIBLE_DEVICES'] = ''
    if device == 'cuda' and not torch.cuda.is_available():
        built = f'CUDA {torch.version.cuda}' if torch.version.cuda else 'no CUDA'
        raise UserError(
            f'--device cuda: torch {torch.__version__} (built with {built}) sees no GPU. Check '
            '`nvidia-smi` and CUDA_VISIBLE_DEVICES, or run with --device cpu'
        )


@contextlib.contextmanager
def closing_processes() -> Iterator[None]:
    """End several processes together, at completion or on a signal.

    They exit without the interpreter's clean-up, because gloo threads kept alive by the model
    occasionally abort a process at exit (PyTorch 2.11).
    """
    try:
        yield
        code: object = 0
        if torch.distributed.is_initialized():
            torch.distributed.barrier()  # no process leaves while another still needs it
    except SystemExit as end:
        code = end.code
        if not isinstance(code, int) or not torch.distributed.is_initialized():
            raise
    if torch.distributed.is_initialized():
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(str(code)))


def amp_options(options: dict | None, dtype: str | None) -> dict:
    """Merge `--amp` and `--amp-dtype` into the options of `--cfg-options`.

    Raises:
        UserError: they contradict each other.
    """
    options = options or {}
    meant = {'optim_wrapper.type': 'AmpOptimWrapper'}
    meant |= {'optim_wrapper.dtype': dtype} if dtype else {}
    for key, value in meant.items():
        if options.get(key, value) != value:
            said = f'-dtype {dtype}' if dtype else ''
            raise UserError(
                f'--cfg-options {key}={options[key]} contradicts --amp{said}: drop one of the two'
            )
    return {**options, **meant}


def set_amp(cfg: Config) -> None:
    """Enable mixed precision; `dtype` defaults to bfloat16, which needs no loss scaling.

    Raises:
        UserError: `dtype` is not one of `AMP_DTYPES`.
    """
    wrapper = cfg.optim_wrapper
    wrapper.type, wrapper.dtype = 'AmpOptimWrapper', wrapper.get('dtype') or 'bfloat16'
    if wrapper.dtype not in AMP_DTYPES:
        raise UserError(
            f'optim_wrapper.dtype is {wrapper.dtype!r}; allowed: {", ".join(AMP_DTYPES)}'
        )


def keep_freed_memory() -> bool:
    """Let glibc reuse the memory of a step for the next one, instead of returning it.

    Otherwise every step gets its feature maps as new pages, which the system has to clear: 17,000
    page faults and a tenth of the time of a small model's step. Other C libraries ignore it.

    Returns:
        Whether glibc accepted the settings.
    """
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, 32 << 20) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))


def adapt_to_device(cfg: Config) -> list[str]:
    """Remove what needs a GPU if there is none; start gloo for several CPU processes.

    Returns:
        One notice per change.
    """
    if torch.cuda.is_available():
        return []
    notices = []
    if cfg.get('optim_wrapper', {}).get('type') == 'AmpOptimWrapper':
        cfg.optim_wrapper.type = CpuAmpOptimWrapper.__name__
        if cfg.optim_wrapper.get('dtype') == 'float16':
            notices.append('no GPU: float16 needs a GPU, so AMP will try bfloat16')
        for key in ('dtype', 'loss_scale', 'use_fsdp'):
            cfg.optim_wrapper.pop(key, None)
        notices.append(
            'no GPU: AMP uses bfloat16 if the dry run finds it correct and faster, else float32'
        )
    if replace_sync_bn(cfg.model) or (cfg.get('sync_bn') and cfg.launcher != 'none'):
        cfg.sync_bn = None
        notices.append('no GPU: BatchNorm is not synchronised across processes')
    if cfg.launcher != 'none':
        if not torch.distributed.is_initialized():  # MMEngine's own launcher would call CUDA
            torch.distributed.init_process_group('gloo')
        cfg.model_wrapper_cfg = dict(
            type='MMDistributedDataParallel',
            device_ids=None,
            broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False),
        )
        notices.append(f'no GPU: {torch.distributed.get_world_size()} processes on CPU, over gloo')
    return notices
