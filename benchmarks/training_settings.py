"""The settings of a config that determine a result, in words."""

from collections.abc import Iterator


def training(cfg: object) -> tuple[str, ...]:
    """Return the settings that determine a result, a phrase each, in a fixed order."""
    loop, optim, first = cfg.train_cfg, cfg.optim_wrapper, cfg.param_scheduler[0]
    rate = f'learning rate {optim.optimizer.lr:g}'
    decay = optim.get('paramwise_cfg', {}).get('decay_rate')
    part = optim.get('paramwise_cfg', {}).get('backbone_lr_mult')
    pipeline = cfg.train_dataloader.dataset.pipeline
    crops = [step['crop_size'] for step in pipeline if step['type'] == 'RandomCrop']
    if crops:
        size = 'crops of {}x{} pixels'.format(*crops[0])
    else:
        sides = {min(scale) for scale in scales(pipeline)}
        size = ' to '.join(str(side) for side in sorted({min(sides), max(sides)}))
        size = f'short side {size} pixels'
    return (
        optim.optimizer.type,
        rate
        + (f' at the top, times {decay} for each layer below' if decay else '')
        + (f', times {part} in the backbone' if part else ''),
        f'weight decay {optim.optimizer.weight_decay:g}',
        f'batch {8 * cfg.train_dataloader.batch_size}',  # GPUs
        f'{loop.max_epochs} epochs' if 'max_epochs' in loop else f'{loop.max_iters} iterations',
        f'{first.end} iterations of warm-up' if first.type == 'LinearLR' else 'no warm-up',
        size,
        'test in sliding windows' if cfg.model.test_cfg.get('mode') == 'slide' else '',
    )


def scales(pipeline: list) -> Iterator[tuple[int, int]]:
    """Return the sizes to which a pipeline resizes in the end."""
    for step in pipeline:
        yield from [step['scale']] if 'scale' in step else step.get('scales', ())
        if 'transforms' in step:
            yield from scales(step['transforms'][0])
