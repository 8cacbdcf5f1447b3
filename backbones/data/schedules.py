"""The length of a training and its learning rate: checked in a config, chosen for a new one."""

import copy
import math
from dataclasses import dataclass

from mmengine.config import Config

from backbones.data.config_text import named, override
from backbones.data.faults import Faults

LEAST = 1000  # iterations of a training, unless --epochs says otherwise
EPOCHS = (12, 300)  # at least and at most
VALIDATIONS = 10  # in a training


def check_schedule(cfg: Config, images: int, faults: Faults) -> None:
    """Warn of schedules that do not fit the length of the training.

    Args:
        images: of an epoch; 0, if that is not known, is checked for nothing.
    """
    if not images:
        return
    loop = cfg.get('train_cfg') or {}
    batch = cfg.train_dataloader.get('batch_size', 1)
    if not isinstance(batch, int) or batch < 1:
        said = f'batch_size is {batch!r}; allowed: a whole number from 1'
        return faults.add('wrong-config', 'train_dataloader', said)
    per_epoch = max(1, -(-images // batch))
    epochs = loop.get('max_epochs')
    iterations = loop.get('max_iters') or (epochs or 0) * per_epoch
    rules = cfg.get('param_scheduler') or []
    for i, rule in enumerate(rules if isinstance(rules, list | tuple) else [rules]):
        unit = 'epochs' if rule.get('by_epoch', True) else 'iterations'
        total = (epochs or iterations / per_epoch) if unit == 'epochs' else iterations
        place, length = f'param_scheduler.{i}', f'the training has {total:g} {unit}'
        last = max([rule.get('begin', 0), *rule.get('milestones', [])])
        if rule['type'] == 'LinearLR' and rule.get('end', 0) > 0.5 * total:
            faults.add('schedule', place, f'warm-up ends after {rule["end"]} {unit}; {length}')
        elif last >= total:
            faults.add('schedule', place, f'{rule["type"]} acts at {last} {unit}; {length}')
        elif rule['type'] != 'LinearLR' and rule.get('end', total) > 1.5 * total:
            faults.add('schedule', place, f'{rule["type"]} ends at {rule["end"]} {unit}; {length}')


@dataclass
class Plan:
    """What is decided about the training.

    Args:
        epochs: passes over the training images.
        batch: images per iteration of one process.
        images: of the training split.
    """

    epochs: int
    batch: int
    images: int

    @property
    def per_epoch(self) -> int:
        return math.ceil(self.images / self.batch)

    @property
    def iterations(self) -> int:
        return self.epochs * self.per_epoch


def make_plan(cfg: Config, images: int, *, epochs: int | None, batch: int | None) -> Plan:
    """Choose what is not given.

    Args:
        cfg: the base.
        images: of the training split.
        epochs: passes over the images.
        batch: images per iteration of one process.
    """
    batch = batch or cfg.train_dataloader.batch_size
    epochs = epochs or min(max(EPOCHS[0], math.ceil(LEAST * batch / images)), EPOCHS[1])
    return Plan(epochs, batch, images)


def schedule_lines(cfg: Config, new: Config, plan: Plan) -> list[str]:
    """Lines of a config: length, warm-up, learning rate, how often to validate, save and log.

    Args:
        cfg: the base.
        new: the same with the optimizer that is to be used.
    """
    by_epoch = 'max_epochs' in cfg.train_cfg
    every = max(1, plan.epochs // VALIDATIONS) * (1 if by_epoch else plan.per_epoch)
    length = f'max_epochs={plan.epochs}' if by_epoch else f'max_iters={plan.iterations}'
    warm = min(_warm_up(cfg), plan.iterations // 10)
    logged = max(1, min(50, plan.iterations // 20))
    linear = f"    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end={warm}),"
    return [
        f'# {plan.epochs} epochs of {plan.per_epoch} iterations in one process',
        f'train_cfg = dict({length}, val_interval={every})',
        '# the warm-up is a tenth of the training at most',
        'param_scheduler = [',
        *([linear] if warm else []),  # MMEngine takes no rule of no iterations
        f"    dict(type='CosineAnnealingLR', by_epoch=False, begin={warm}, end={plan.iterations})]",
        *_optimizer_lines(cfg, new, plan),
        f'default_hooks = dict(logger=dict(interval={logged}), checkpoint=dict(interval={every}))',
    ]


def _optimizer_lines(cfg: Config, new: Config, plan: Plan) -> list[str]:
    usual = (new.get('auto_scale_lr') or {}).get('base_batch_size')
    wrapper = copy.deepcopy(new.optim_wrapper)
    rate = wrapper.optimizer.get('lr')
    lines = []
    if usual and rate and usual != plan.batch:
        wrapper.optimizer.lr = float(f'{rate * math.sqrt(plan.batch / usual):.2g}')
        lines.append(f'# lr {rate:g} is for batches of {usual}: times the root of the ratio')
    change = override(cfg.optim_wrapper, wrapper, '_base_.optim_wrapper')
    if change is not None:
        made = named('optim_wrapper', change, sign=' = ')
        lines.append(made if isinstance(made, str) else made.text())
    if usual and usual != plan.batch:
        lines.append(f'auto_scale_lr = dict(base_batch_size={plan.batch})')
    return lines


def _warm_up(cfg: Config) -> int:
    rules = cfg.get('param_scheduler') or []
    ends = [r.get('end', 0) for r in rules if r['type'] == 'LinearLR' and not r.get('by_epoch')]
    return max(ends, default=500)
