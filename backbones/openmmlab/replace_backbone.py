"""Replacing the backbone of any MMDetection or MMSegmentation config by one of ours."""

import copy
import logging

from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log

from backbones.adapted.families import RECIPES
from backbones.adapted.variants import AdaptedVariant
from backbones.errors import ArgumentError, UserError
from backbones.openmmlab.build import check_fit, enter_library
from backbones.openmmlab.config_tree import channels_in, nodes, type_name, with_backbone
from backbones.openmmlab.levels import Level, choose_levels, measure_levels
from backbones.openmmlab.registries import OURS, add_import
from backbones.package_files import config_file, own_recipe
from backbones.registry import variant
from backbones.timm_interface import STRIDES
from backbones.variants import Variant, type_of

NAMED = ('published',)


def swap_backbone(
    cfg: Config, name: str, *, recipe: str | None = None, settings: dict | None = None
) -> Config:
    """Return a copy of a config with another backbone, and all dependent settings adjusted.

    The old backbone is built and run on a small image to find its channels and strides. The new one
    emits the levels with these strides, and each `in_channels` for an old level is set to the
    channels of the new level. One prediction on a small image then verifies that the model fits.
    Images with three channels are normalised as on ImageNet; other images keep their channels, mean
    and standard deviation. The variant's published weights are loaded for training. All settings of
    the old backbone are dropped, including frozen stages and weights, and so is `load_from`.

    Args:
        cfg: any config for MMDetection or MMSegmentation.
        name: one of `list_backbones()`, 'timm:NAME' or 'hf:OWNER/REPO'.
        recipe: 'published' also copies the optimizer with its learning rate, all rules for single
            parameters and the drop path rate from the variant's config for Mask R-CNN or UperNet.
            The config's own rules are dropped, such as DINO's lower learning rate for the
            backbone. Schedule, batch size, gradient clipping and mixed precision stay; learning
            rates in the schedule keep their ratio to the optimizer's. The learning rate is for the
            batch size in the new `auto_scale_lr`. None keeps the config's optimizer.
        settings: settings of the new backbone, such as `dict(image_size=(640, 640))`.

    Returns:
        The changed copy.

    Raises:
        ArgumentError: `cfg` is not a Config.
        UserError: an unknown name or recipe; a config of neither library; a model without a single
            backbone for a feature pyramid; a model that the new backbone does not fit.
    """
    if not isinstance(cfg, Config):
        raise ArgumentError(
            f'cfg is a {type(cfg).__name__}; allowed: a Config, such as '
            'Config.fromfile(backbones.config_file(NAME))'
        )
    row = variant(name)
    if recipe is not None and recipe not in NAMED:
        raise UserError(f'recipe is {recipe!r}; allowed: {", ".join(NAMED)}')
    enter_library(cfg)
    cfg = copy.deepcopy(cfg)
    model = with_backbone(cfg.get('model'))
    old = model.backbone
    levels = measure_levels(cfg, old)
    chosen = choose_levels(levels)
    new = row.settings(_method(model) if recipe or 'drop_path_rate' in old else None)
    if chosen != [0, 1, 2, 3]:
        new['out_indices'] = tuple(chosen)
    if channels_in(model) == 3:
        _normalise(cfg, row)
    else:
        new['in_channels'] = channels_in(model)
    model.backbone = ConfigDict({**new, **(settings or {})})
    channels = row.channels_of(settings or {})
    _connect(cfg, model, levels, [(channels[i], STRIDES[i]) for i in chosen], name)
    if recipe:
        _take_recipe(cfg, row, _method(model))
    _leave_out_weights(cfg, model)
    add_import(cfg, 'backbones')
    return cfg


def _leave_out_weights(cfg: Config, model: ConfigDict) -> None:
    """Drop weight files of the old backbone; warn if they hold a whole model."""
    if 'pretrained' in model:  # MMSegmentation's name for the backbone's own weights
        model.pretrained = None
    for part, key in ((cfg, 'load_from'), (cfg.model, 'init_cfg'), (model, 'init_cfg')):
        if part.get(key) and (key == 'load_from' or 'Pretrained' in str(part[key])):
            notice = f'{key}={part[key]} is dropped: it holds a model with the old backbone'
            print_log(notice, logger='current', level=logging.WARNING)
            part[key] = None


def _method(model: ConfigDict) -> str:
    """Return the method whose drop path rate applies. See `Variant.settings`."""
    if 'decode_head' not in model:
        return 'detection'
    heads = model.decode_head if isinstance(model.decode_head, list) else [model.decode_head]
    return 'semantic_fpn' if type_name(heads[0]) == 'FPNHead' else 'upernet'


def _normalise(cfg: Config, row: Variant) -> None:
    """Set mean, deviation and colour order; wrappers of models repeat their preprocessor."""
    if cfg.get('data_preprocessor'):  # MMEngine's Runner passes it to a model that has none
        cfg.model.setdefault('data_preprocessor', copy.deepcopy(cfg.data_preprocessor))
    for node in list(nodes(cfg.model)):
        part = node.get('data_preprocessor')
        if isinstance(part, dict) and 'data_preprocessor' not in part:
            part.update(mean=list(row.mean), std=list(row.std), bgr_to_rgb=True)
            part.pop('rgb_to_bgr', None)


def _connect(
    cfg: Config, model: ConfigDict, before: list[Level], after: list[Level], name: str
) -> None:
    """Give the parts that read the backbone the new channels, and check that the model runs.

    With a neck, only the neck reads the backbone; but some necks pass old levels on, so auxiliary
    heads, then all heads, are changed too if the neck alone does not suffice.

    Raises:
        UserError: the model does not fit.
    """
    necks = [key for key in ('neck',) if model.get(key)]
    heads = [key for key in model if key.endswith('head') and model[key]]
    problem: UserError | None = None
    untouched = copy.deepcopy(model)
    old, new = [channels for channels, _ in before], [channels for channels, _ in after]
    auxiliary = [key for key in heads if key.startswith('auxiliary')]
    for parts in [necks, necks + auxiliary, necks + heads] if necks else [heads]:
        for key in parts:
            entries = model[key] if isinstance(model[key], list) else [model[key]]
            # the first of several necks reads the backbone
            for entry in entries[:1] if key == 'neck' else entries:
                readers = _readers(entry)
                for node in nodes(entry):
                    _replace(node, old, new, outermost=any(node is part for part in readers))
        try:
            return check_fit(cfg, model)
        except UserError as error:
            problem = problem or error
            for key in parts:
                model[key] = copy.deepcopy(untouched[key])
    was, now = [stride for _, stride in before], [stride for _, stride in after]
    hint = '' if was == now else f'; the old levels have strides {was}, the new ones {now}'
    raise UserError(f'--backbone {name} does not fit: {problem}{hint}') from problem


def _readers(part: ConfigDict) -> list[ConfigDict]:
    """Return what reads the part's input: itself, and RoI heads, unless layers precede them."""
    heads = [part.get(key) for key in ('bbox_head', 'mask_head') if 'shared_head' not in part]
    entries = [e for head in heads for e in (head if isinstance(head, list) else [head])]
    return [part, *(entry for entry in entries if entry)]


def _replace(node: ConfigDict, old: list[int], new: list[int], *, outermost: bool) -> None:
    """Replace channels of the old levels in one dict.

    A list must name the levels that `in_index` picks, by default the last ones, in order or
    reversed. A number belongs to level `in_index`, by default the last; without `in_index` inside
    another part, it is a width of that part.
    """
    if node.get('c1_in_channels') == old[0]:  # DeepLabV3+'s second input, the first level
        node.c1_in_channels = new[0]
    if 'featmap_strides' in node and node.get('out_channels') == old[-1]:  # RoIs of one level
        node.out_channels = new[-1]
    taken, index = node.get('in_channels'), node.get('in_index')
    if isinstance(taken, list | tuple):
        picked = range(-len(taken), 0) if index is None else index
        levels = [i % len(old) for i in picked] if isinstance(picked, range | list | tuple) else []
        for order in (levels, levels[::-1]):
            if list(taken) == [old[i] for i in order]:
                node.in_channels = type(taken)(new[i] for i in order)
    elif isinstance(taken, int) and (outermost or index is not None):
        level = -1 if index is None else index
        if isinstance(level, int) and level < len(old) and taken == old[level]:
            node.in_channels = new[level]


def _take_recipe(cfg: Config, row: Variant, method: str) -> None:
    """Copy the optimizer and parameter rules from the variant's config. See `swap_backbone`."""
    taken = ('optimizer', 'paramwise_cfg', 'constructor', '_scope_')
    ours = _recipe_of_family(row, method) if isinstance(row, AdaptedVariant) else _own(cfg, row)
    old = cfg.get('optim_wrapper', {})
    cfg.optim_wrapper = {
        **ours.optim_wrapper,
        **{key: value for key, value in old.items() if key not in taken and value},
    }
    if cfg.optim_wrapper.get('constructor') == 'LayerDecay':
        add_import(cfg, OURS['LayerDecay'])
    rate = old.get('optimizer', {}).get('lr')
    for rule in nodes(ConfigDict(rules=cfg.get('param_scheduler') or [])) if rate else ():
        for key in {'eta_min', 'eta_max'} & {*rule}:  # absolute: unscaled, the rate could rise
            rule[key] *= cfg.optim_wrapper.optimizer.lr / rate
    if 'constructor' not in ours.optim_wrapper:
        # heads that share layers between levels, such as RTMDet's, list their parameters twice
        cfg.optim_wrapper.setdefault('paramwise_cfg', {})['bypass_duplicate'] = True
    enable = cfg.get('auto_scale_lr', {}).get('enable', False)
    cfg.auto_scale_lr = dict(ours.auto_scale_lr, enable=enable)


def _own(cfg: Config, row: Variant) -> Config:
    if type_of(row.cls) != row.cls.__name__:
        raise UserError(f'--recipe published: {row.name} has no config of ours. Leave it out')
    task = 'segmentation' if cfg.get('default_scope') == 'mmseg' else 'detection'
    return Config.fromfile(config_file(own_recipe(row.name, task)))


def _recipe_of_family(row: AdaptedVariant, method: str) -> Config:
    recipe = row.recipe(method)
    if recipe is None:
        raise UserError(
            f'--recipe published: no recipe is known for the family {row.family}, only for '
            f'{", ".join(RECIPES)}. Leave it out'
        )
    optimizer = dict(
        type='AdamW', lr=recipe.lr, betas=(0.9, 0.999), weight_decay=recipe.weight_decay
    )
    wrapper: dict = dict(type='OptimWrapper', optimizer=optimizer)
    layers = row.model.get_layer_depth('')[1] - 2  # without the stem and what follows the blocks
    if rate := recipe.decay_of(layers):
        wrapper.update(constructor='LayerDecay', paramwise_cfg=dict(decay_rate=rate))
    else:
        rules = ('norm_decay_mult', 'bias_decay_mult', 'flat_decay_mult')
        tables = {name: dict(decay_mult=0.0) for name in ('pos_embed', 'position_bias_table')}
        wrapper.update(paramwise_cfg=dict(dict.fromkeys(rules, 0.0), custom_keys=tables))
    print_log(f'--recipe published: AdamW as in {recipe.source}', logger='current')
    return Config(dict(optim_wrapper=wrapper, auto_scale_lr=dict(base_batch_size=recipe.batch)))


def doubts(cfg: Config, name: str) -> list[str]:
    """Return what may spoil training with a config from `swap_backbone`, one sentence each."""
    row, found = variant(name), []
    wrapper = cfg.get('optim_wrapper', {})
    optimizer = type_name(wrapper.get('optimizer', {}))
    if optimizer not in ('', row.optimizer) and row.optimizer:
        found.append(
            f'The config trains with {optimizer}; {row.name} was trained with AdamW only: '
            "--recipe published uses its authors' settings."
        )
    if 'DecayOptimizerConstructor' in str(wrapper.get('constructor')):  # both libraries have one
        found.append(
            f'The config builds its optimizer with {wrapper.constructor}, which is made for the '
            'layers of other backbones; --recipe published does not use it.'
        )
    if not row.weights:
        found.append(
            f'There are no ImageNet weights of {row.name} to download ({row.cls.WEIGHTS}): give '
            'their path with --pretrained, or training starts from scratch.'
        )
    return found
