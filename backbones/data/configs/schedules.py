"""A training run's length and learning rate: checks in a config, choices for a new one."""

import copy
import math
from dataclasses import dataclass, replace

from mmengine.config import Config

from backbones.data.configs.config_text import literal, override, statement
from backbones.data.faults.faults import Faults
from backbones.errors import UserError
from backbones.openmmlab.config_tree import type_name

LEAST = 1000  # iterations of a training run, unless --epochs says otherwise
EPOCHS = (12, 300)  # minimum and maximum
VALIDATIONS = 10  # per training run
FEWEST = 2  # minimum number of validations, even if they take long
JUDGING = 0.15  # share of a given time that may go into validations
START = 30.0  # seconds for imports, checks and the dry run
SWITCHES = ('num_last_epochs', 'switch_epoch')  # arguments of hooks that change the augmentation


def check_schedule(cfg: Config, images: int, faults: Faults) -> None:
    """Reject lengths and batches below 1; warn of schedules that do not fit the length or its unit.

    Args:
        images: per epoch; 0 if unknown, which skips the check.
    """
    loop = cfg.get('train_cfg') or {}
    for name in ('max_epochs', 'max_iters'):
        length = loop.get(name)
        if length is not None and not (isinstance(length, int) and length > 0):
            said = f'{name} is {length!r}; allowed: an integer from 1'
            return faults.add('wrong-config', 'train_cfg', said)
    if not images:
        return
    batch = cfg.train_dataloader.get('batch_size', 1)
    if not isinstance(batch, int) or batch < 1:
        said = f'batch_size is {batch!r}; allowed: an integer from 1'
        return faults.add('wrong-config', 'train_dataloader', said)
    per_epoch = max(1, -(-images // batch))
    epochs = loop.get('max_epochs')
    iterations = loop.get('max_iters') or (epochs or 0) * per_epoch
    rules = cfg.get('param_scheduler') or []
    for i, rule in enumerate(rules if isinstance(rules, list | tuple) else [rules]):
        unit = 'epochs' if rule.get('by_epoch', True) else 'iterations'
        total = (epochs or iterations / per_epoch) if unit == 'epochs' else iterations
        kind, place = type_name(rule), f'param_scheduler.{i}'
        told = f'the run has {total:g} {unit}'
        last = max([rule.get('begin', 0), *rule.get('milestones', [])])
        if unit == 'epochs' and not epochs:  # MMEngine sees one long epoch
            faults.add('schedule', place, f'{kind} counts epochs, and the run iterations: '
                       'it would never act')  # fmt: skip
        elif kind == 'LinearLR' and rule.get('end', 0) > 0.5 * total:
            faults.add('schedule', place, f'the warm-up ends after {rule["end"]} {unit}; {told}')
        elif last >= total:
            faults.add('schedule', place, f'{kind} acts at {last} {unit}; {told}')
        elif kind != 'LinearLR' and rule.get('end', total) > 1.5 * total:
            faults.add('schedule', place, f'{kind} ends at {rule["end"]} {unit}; {told}')

    saving = (cfg.get('default_hooks') or {}).get('checkpoint')
    if saving and iterations and not epochs and saving.get('by_epoch', True):
        faults.add('unsaved', 'default_hooks.checkpoint', f'interval={saving.get("interval")} '
                   'counts epochs, and the run iterations')  # fmt: skip


@dataclass
class Plan:
    """The length and batch size of a training run.

    Args:
        epochs: passes over the training images.
        batch: images per iteration of one process.
        images: number of training images.
        validations: number of validations during the run.
        why: what determined the length; '' if the number of images did.
    """

    epochs: int
    batch: int
    images: int
    validations: int = VALIDATIONS
    why: str = ''

    @property
    def per_epoch(self) -> int:
        return math.ceil(self.images / self.batch)

    @property
    def iterations(self) -> int:
        return self.epochs * self.per_epoch


def make_plan(cfg: Config, images: int, *, epochs: int | None, batch: int | None) -> Plan:
    """Choose the values that are not given.

    Args:
        cfg: the base.
        images: number of training images.
        epochs: passes over the images.
        batch: images per iteration of one process.
    """
    batch = batch or cfg.train_dataloader.batch_size
    epochs = epochs or min(max(EPOCHS[0], math.ceil(LEAST * batch / images)), EPOCHS[1])
    return Plan(epochs, batch, images)


@dataclass(frozen=True)
class Pace:
    """How long the parts of a training run take.

    Args:
        iteration: seconds, including loading the images.
        evaluation: seconds to predict all validation images once.
    """

    iteration: float
    evaluation: float

    def seconds(self, iterations: int, evaluations: int) -> float:
        """Return a run's time after its start; the results page takes one more evaluation."""
        return iterations * self.iteration + (evaluations + 1) * self.evaluation


def plan_for(minutes: float, plan: Plan, pace: Pace) -> Plan:
    """Choose the epochs that fit into a time, with as many validations as `JUDGING` allows.

    Args:
        plan: the plan of the timed run.

    Raises:
        UserError: not even an epoch fits.
    """
    most = int(JUDGING * minutes * 60 / max(pace.evaluation, 1e-9)) - 1
    validations = min(max(most, FEWEST), VALIDATIONS)
    epoch = pace.iteration * plan.per_epoch
    epochs = int((minutes * 60 - START - pace.seconds(0, validations)) / epoch)
    if epochs < 1:
        needed = math.ceil((START + pace.seconds(plan.per_epoch, FEWEST)) / 60)
        raise UserError(
            f'--minutes is {minutes:g}, but one epoch of {plan.per_epoch} iterations of '
            f'{pace.iteration:.2g} s takes {needed} minutes with start and validation: allow more, '
            'or use fewer images'
        )
    validations = min(validations, epochs)
    why = (
        f'{minutes:g} minutes: an iteration takes {pace.iteration:.2g} s on this machine, each of '
        f'{validations} validations {pace.evaluation:.2g} s'
    )
    return replace(plan, epochs=epochs, validations=validations, why=why)


def schedule_lines(cfg: Config, new: Config, plan: Plan) -> list[str]:
    """Return config lines: length, warm-up, learning rate, validating, saving, logging.

    Args:
        cfg: the base.
        new: the base with the new optimizer.
    """
    by_epoch = 'max_epochs' in cfg.train_cfg
    every = math.ceil(plan.epochs / plan.validations) * (1 if by_epoch else plan.per_epoch)
    length = f'max_epochs={plan.epochs}' if by_epoch else f'max_iters={plan.iterations}'
    warm = min(_warm_up(cfg), plan.iterations // 10)
    logged = max(1, min(50, plan.iterations // 20))
    hooks = dict(logger=dict(interval=logged), checkpoint=dict(_saving(cfg), interval=every))
    linear = f"    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end={warm}),"
    return [
        *([f'# {plan.why}'] if plan.why else []),
        f'# {plan.epochs} epochs of {plan.per_epoch} iterations in one process',
        f'train_cfg = dict({length}, val_interval={every})',
        '# the warm-up is at most a tenth of the run',
        'param_scheduler = [',
        *([linear] if warm else []),  # MMEngine rejects a scheduler without iterations
        f"    dict(type='CosineAnnealingLR', by_epoch=False, begin={warm}, end={plan.iterations})]",
        *_optimizer_lines(cfg, new, plan),
        *_hook_lines(cfg, plan),
        statement('default_hooks', literal(hooks)),
    ]


def keeps_best(cfg: Config) -> bool:
    """Return whether a config says how to keep its best checkpoint; OpenMMLab's do not."""
    return 'save_best' in ((cfg.get('default_hooks') or {}).get('checkpoint') or {})


def _saving(cfg: Config) -> dict:
    """Return the settings of the hook that saves, except its interval."""
    if keeps_best(cfg):
        return {}
    metric = 'auto' if cfg.get('default_scope') == 'mmdet' else 'mIoU'
    return dict(type='DurableCheckpointHook', save_best=metric)


def _optimizer_lines(cfg: Config, new: Config, plan: Plan) -> list[str]:
    usual = (new.get('auto_scale_lr') or {}).get('base_batch_size')
    wrapper = copy.deepcopy(new.optim_wrapper)
    rate = wrapper.optimizer.get('lr')
    lines = []
    if usual and rate and usual != plan.batch:
        wrapper.optimizer.lr = float(f'{rate * math.sqrt(plan.batch / usual):.2g}')
        lines.append(f'# lr {rate:g} is for batches of {usual}: scaled by the root of the ratio')
    change = override(cfg.optim_wrapper, wrapper, '_base_.optim_wrapper')
    if change is not None:
        lines.append(statement('optim_wrapper', change))
    if usual:  # written even if equal, since the base may not state it: see `batch_in_name`
        lines.append(f'auto_scale_lr = dict(base_batch_size={plan.batch})')
    return lines


def _hook_lines(cfg: Config, plan: Plan) -> list[str]:
    """Return the lines that move late switches, such as turning mosaic off, to the new end."""
    length, hooks = cfg.train_cfg.get('max_epochs'), cfg.get('custom_hooks') or []
    if not length or not any(key in hook for hook in hooks for key in SWITCHES):
        return []
    moved = [
        dict(hook, **{k: round(hook[k] * plan.epochs / length) for k in SWITCHES if k in hook})
        for hook in hooks
    ]
    change = override(hooks, moved, '_base_.custom_hooks') or '[]'
    said = '# augmentation changes as late in the run as in the base'
    return [said, statement('custom_hooks', change)]


def _warm_up(cfg: Config) -> int:
    rules = cfg.get('param_scheduler') or []
    ends = [r.get('end', 0) for r in rules if type_name(r) == 'LinearLR' and not r.get('by_epoch')]
    return max(ends, default=500)
