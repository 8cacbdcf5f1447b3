"""Config lines for the datasets of a new config, their loaders and evaluators."""

from pathlib import Path

from mmengine.config import Config

from backbones.data.checks.config_checks import reduces
from backbones.data.configs.channels import pipeline_lines
from backbones.data.configs.config_loaders import evaluator, loader
from backbones.data.configs.config_text import Call, literal, statement
from backbones.data.configs.fitted import Fit
from backbones.data.configs.label_lines import loading_lines, tta_lines
from backbones.data.configs.schedules import Plan
from backbones.data.configs.write_config import is_listed, of_all_splits, of_split, used
from backbones.data.dataset import Dataset


def detection_lines(dataset: Dataset, cfg: Config, out: Path, plan: Plan, made: Fit) -> list[str]:
    """Return the datasets of instances, their loaders and evaluators."""
    lines = [
        "# replaces the base's; labels follow metainfo's names; images without objects are used",
        _shared(of_all_splits(dataset)),
    ]
    lines += _channels(dataset, cfg)
    wrap = f'__channels({made.wrap()})' if dataset.channels else made.wrap()
    evaluators = ['# small, medium, large: by the areas in the file, those of masks if it has any']
    for name in used(dataset):
        settings = of_split(dataset, name, out)
        lines.append(_loader(cfg, name, plan, settings, wrap))
        if name != 'train':
            evaluators.append(evaluator(cfg, name, settings['ann_file']))
    if 'test' not in used(dataset):
        lines.append('test_dataloader = val_dataloader')
        evaluators.append('test_evaluator = val_evaluator')
    return lines + evaluators


def _shared(settings: dict) -> str:
    """Return the variable with the settings that all splits' datasets share."""
    made = literal(dict(_delete_=True, **settings))
    assert isinstance(made, Call)
    made.parts[2:2] = ['data_root=data_root', 'metainfo=metainfo']
    return statement('__data', made)


def _loader(cfg: Config, name: str, plan: Plan, settings: dict, wrap: str) -> str:
    if name != 'train' and cfg.default_scope == 'mmdet':
        settings = dict(settings, test_mode=True)
    return loader(cfg, name, settings, batch=plan.batch if name == 'train' else None, wrap=wrap)


def label_map_lines(dataset: Dataset, cfg: Config, out: Path, plan: Plan, made: Fit) -> list[str]:
    """Return the datasets of label maps, their loaders, and the pipelines that load them."""
    how = '; lists pair images and label maps' if is_listed(dataset) else ''
    lines = [f'# replaces the base\'s datasets; 255 means "ignore"{how}']
    lines.append(_shared(dict(of_all_splits(dataset), ignore_index=255)))
    reduced = any(reduces(cfg[f'{name}_dataloader'].dataset) for name in used(dataset))
    tta = reduces(cfg.get('tta_pipeline', [])) or (dataset.mapping and 'tta_pipeline' in cfg)
    if reduced or tta or dataset.mapping:
        lines += loading_lines(dataset.mapping)
    wrap = f'__own({made.wrap()})' if reduced or dataset.mapping else made.wrap()
    if dataset.channels:
        lines += _channels(dataset, cfg)
        wrap = f'__channels({wrap})'
    for name in used(dataset):
        lines.append(_loader(cfg, name, plan, of_split(dataset, name, out), wrap))
    if 'test' not in used(dataset):
        lines.append('test_dataloader = val_dataloader')
    if tta or (made.longest and 'tta_pipeline' in cfg):
        given = 'tta_pipeline' if dataset.channels else '_base_.tta_pipeline'
        lines += tta_lines(given, made.longest, own=bool(tta))
    return lines


def _channels(dataset: Dataset, cfg: Config) -> list[str]:
    if not dataset.channels:
        return []
    lines = pipeline_lines(cfg, dataset.channels, dataset.values, used(dataset))
    if cfg.get('tta_pipeline'):
        lines.append('tta_pipeline = __channels(_base_.tta_pipeline)')
    return lines
