"""The backbones are ordinary modules: what PyTorch and other tools do with modules works."""

import copy
import pickle
import sys
import threading
from collections import Counter
from collections.abc import Callable

import pytest
import torch
import torch.autograd.forward_ad as forward_ad
from conftest import HERE, NANO, call, variant_id
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap

import backbones
from backbones import BACKBONES
from backbones.errors import UserError
from backbones.ops import dispatch
from backbones.ops._watchers import obstacle
from backbones.ops.dispatch import PLAIN, plain

every_backbone = pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
QUICK = (backbones.CSWin, backbones.MogaNet)  # one with attention, one with convolutions
# for slow tests; the default suite uses two
some_backbones = pytest.mark.parametrize(
    'cls',
    [pytest.param(cls, marks=[] if cls in QUICK else [pytest.mark.slow]) for cls in BACKBONES],
    ids=variant_id,
)


def build(cls: type, **settings: object) -> nn.Module:
    torch.manual_seed(0)
    model = cls(NANO[cls], **settings)
    model.init_weights()
    for module in model.modules():  # layer scales of 1e-5 would hide what comes before them
        for name, parameter in module.named_parameters(recurse=False):
            if 'scale' in name:
                nn.init.constant_(parameter, 0.1)
    return model.eval()


def image(batch: int = 1, channels: int = 3) -> Tensor:
    return torch.randn(batch, channels, 32, 32, generator=torch.Generator().manual_seed(1))


def loss_of(levels: tuple[Tensor, ...]) -> Tensor:
    return sum(level.square().mean() for level in levels)


def assert_same(found: tuple[Tensor, ...], expected: tuple[Tensor, ...], error: float) -> None:
    for a, b in zip(found, expected, strict=True):
        assert (a - b).abs().max() <= error * b.abs().max()


def layers(model: nn.Module) -> dict[str, nn.Module]:
    """Yield the modules that have direct parameters."""
    return {n: m for n, m in model.named_modules() if list(m.parameters(recurse=False))}


def is_projection(module: nn.Module) -> bool:
    """Return whether low-rank adapters can be put beside a layer: linear or 1x1."""
    dense = isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.groups == 1
    return isinstance(module, nn.Linear) or dense


def forms_taken(model: nn.Module) -> Counter:
    """Return how many dispatched modules use a form other than the plain one."""
    x = next(model.parameters()).detach()
    taken = (
        dispatch.has_form(type(m).forward.operators, x) and obstacle(m) is None
        for m in model.modules()
        if hasattr(type(m).forward, 'operators')
    )
    return Counter(taken)


@every_backbone
def test_parts_run_by_fast_forms_where_nobody_watches(cls: type) -> None:
    model = build(cls)
    with torch.no_grad():
        taken = forms_taken(model)
        assert taken[True] and not taken[False]
        assert_same(model(image()), build(cls, fast=False)(image()), 1e-4)
    with plain():
        assert not dispatch.is_fast()


@pytest.mark.parametrize('kind', ['forward', 'forward_pre', 'full_backward'])
@every_backbone
def test_hooks_of_every_layer_and_every_stage_fire_once(cls: type, kind: str) -> None:
    model = build(cls)
    expected = model(image())
    fired: Counter[str] = Counter()
    watched = {**layers(model), **{f'stages.{i}': stage for i, stage in enumerate(model.stages)}}
    for name, module in watched.items():
        register = getattr(module, f'register_{kind}_hook')
        register(lambda *_, name=name: fired.update([name]))
    levels = model(image())
    loss_of(levels).backward()
    # autograd makes no call where a module's input needs no gradient
    first = {'stem.0'} if kind == 'full_backward' else set()
    assert {n for n in watched if fired[n] != 1} <= first
    assert_same(levels, expected, 1e-4)


@every_backbone
def test_one_watched_layer_makes_one_part_plain(cls: type) -> None:
    model = build(cls)
    before = forms_taken(model)[True]
    seen = []
    last = [m for m in model.stages[2].modules() if is_projection(m)][-1]
    handle = last.register_forward_hook(lambda *_: seen.append(1))
    model(image())
    assert seen == [1] and forms_taken(model)[True] == before - 1
    handle.remove()
    assert forms_taken(model)[True] == before


@every_backbone
def test_hooks_on_all_modules_see_every_layer(cls: type) -> None:
    model = build(cls)
    seen = set()
    handle = nn.modules.module.register_module_forward_hook(lambda m, *_: seen.add(m))
    try:
        model(image())
    finally:
        handle.remove()
    assert set(layers(model).values()) <= seen


@pytest.mark.lora
@pytest.mark.parametrize('dora', [False, True], ids=['lora', 'dora'])
@every_backbone
def test_adapters_train_and_merge(cls: type, dora: bool) -> None:
    from peft import LoraConfig, get_peft_model

    model = build(cls)
    names = [n for n, m in model.named_modules() if is_projection(m)]
    config = LoraConfig(
        r=2, lora_alpha=1, target_modules=names, init_lora_weights=False, use_dora=dora
    )
    adapted = get_peft_model(model, config)
    loss_of(adapted(image())).backward()
    adapters = {n: p for n, p in adapted.named_parameters() if 'lora_' in n}
    assert len(adapters) == (3 if dora else 2) * len(names)
    assert [n for n, p in adapters.items() if p.grad is None or not p.grad.any()] == []
    with torch.no_grad():
        expected = adapted(image())
        assert_same(adapted.merge_and_unload()(image()), expected, 1e-4)


@some_backbones
def test_pruned_layers_train(cls: type) -> None:
    from torch.nn.utils import prune

    model = build(cls).train()
    chosen = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    for module in chosen:
        prune.l1_unstructured(module, 'weight', amount=0.5)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for _ in range(10):
        optimizer.zero_grad()
        loss_of(model(image(2))).backward()
        optimizer.step()
    with torch.no_grad():
        model.eval()(image())
    for module in chosen:
        assert 0.4 <= (module.weight == 0).float().mean() <= 0.6
        prune.remove(module, 'weight')
    with torch.no_grad():
        assert not forms_taken(model)[False]


@every_backbone
def test_dynamic_quantisation_acts(cls: type) -> None:
    model = build(cls)
    linear = [m for m in model.modules() if isinstance(m, nn.Linear)]
    quantised = torch.ao.quantization.quantize_dynamic(copy.deepcopy(model), {nn.Linear})
    replaced = [m for m in quantised.modules() if 'dynamic' in type(m).__module__]
    assert len(replaced) == len(linear)
    with torch.no_grad():
        assert_same(quantised(image()), model(image()), 0.2)


@every_backbone
def test_torchaos_quantisation_acts(cls: type) -> None:
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    model = build(cls)
    with torch.no_grad():
        expected = model(image())
        quantize_(model, Int8WeightOnlyConfig())
        weights = [m.weight for m in model.modules() if isinstance(m, nn.Linear)]
        assert all(type(w) is not nn.Parameter for w in weights)
        found = model(image())
    assert_same(found, expected, 0.1)
    if weights:
        assert not all(torch.equal(a, b) for a, b in zip(found, expected))


def in_two(layer: nn.Linear | nn.Conv2d) -> nn.Module:
    """A low-rank layer, as ablations use it to replace another."""
    if isinstance(layer, nn.Linear):
        return nn.Sequential(
            nn.Linear(layer.in_features, 4),
            nn.Linear(4, layer.out_features, layer.bias is not None),
        )
    return nn.Sequential(nn.Conv2d(layer.in_channels, 4, 1), nn.Conv2d(4, layer.out_channels, 1))


@pytest.mark.parametrize(
    'change',
    [
        in_two,
        nn.utils.parametrizations.weight_norm,
        nn.utils.parametrizations.spectral_norm,
        nn.utils.weight_norm,
    ],
    ids=['sequential', 'weight_norm', 'spectral_norm', 'old_weight_norm'],
)
@every_backbone
def test_a_changed_layer_is_the_one_that_runs(cls: type, change: Callable) -> None:
    model = build(cls).train()
    names = [n for n, m in model.named_modules() if is_projection(m)]
    for name in names:
        parent, _, child = name.rpartition('.')
        owner = model.get_submodule(parent)
        setattr(owner, child, change(getattr(owner, child)))
    loss_of(model(image(2))).backward()
    parameters = dict(model.named_parameters())
    for name in names:
        own = [p for n, p in parameters.items() if n.startswith(f'{name}.')]
        assert own and all(p.grad is not None for p in own)


def with_other_activations(model: nn.Module) -> None:
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.GELU | nn.SiLU):
                setattr(module, name, nn.ReLU())
            elif isinstance(child, nn.ReLU):
                setattr(module, name, nn.Tanh())


def with_approximated_gelu(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.GELU):
            module.approximate = 'tanh'


def with_dilated_convolutions(model: nn.Module) -> None:
    for module in model.modules():
        same = getattr(module, 'padding', None) == (1, 1) and module.stride == (1, 1)
        if isinstance(module, nn.Conv2d) and same:
            module.dilation = module.padding = (2, 2)


def with_replicated_borders(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.padding == (1, 1):
            module.padding_mode = 'replicate'


def without_projections(model: nn.Module) -> None:
    for module in list(model.modules()):
        proj = getattr(module, 'proj', None)
        if isinstance(proj, nn.Linear) and proj.in_features == proj.out_features:
            module.proj = nn.Identity()


@pytest.mark.parametrize(
    'edit',
    [
        with_other_activations,
        with_approximated_gelu,
        with_dilated_convolutions,
        with_replicated_borders,
        without_projections,
    ],
)
@every_backbone
def test_edited_models_compute_what_their_layers_say(cls: type, edit: Callable) -> None:
    model = build(cls)
    edit(model)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    assert_same(model(x), build_plain_twin(model)(x), 1e-5)


@pytest.mark.parametrize(
    'kind', [nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.GELU, nn.ReLU, nn.SiLU]
)
@every_backbone
def test_a_replaced_forward_of_a_layer_type_sees_every_layer(cls: type, kind: type) -> None:
    model, seen, original = build(cls), set(), kind.forward

    def forward(layer: nn.Module, x: Tensor) -> Tensor:
        seen.add(layer)
        return original(layer, x)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, 'forward', forward)
        model(image())
    assert seen == {m for m in model.modules() if isinstance(m, kind)}


@pytest.mark.parametrize('kind', [nn.Linear, nn.ReLU, nn.SiLU])
@every_backbone
def test_a_replaced_function_sees_every_layer(cls: type, kind: type) -> None:
    name = kind.__name__.lower()
    model, seen, original = build(cls), [], getattr(nn.functional, name)

    def function(x: Tensor, *rest: Tensor, **settings: bool) -> Tensor:
        seen.append(x)
        return original(x, *rest, **settings)

    calls: Counter[nn.Module] = Counter()
    for module in model.modules():
        if isinstance(module, kind):
            module.register_forward_hook(lambda m, *_: calls.update([m]))
    twin = build(cls)
    model(image())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.functional, name, function)
        twin(image())
    assert len(seen) == calls.total()


@every_backbone
def test_a_convolution_that_pads_otherwise_does(cls: type) -> None:
    """Seamless textures are made by replacing this method of each convolution."""
    model, seen = build(cls), set()
    convolutions = {m for m in model.modules() if isinstance(m, nn.Conv2d)}
    for conv in convolutions:

        def replaced(x: Tensor, *rest: Tensor, conv: nn.Conv2d = conv) -> Tensor:
            seen.add(conv)
            return nn.Conv2d._conv_forward(conv, x, *rest)

        conv._conv_forward = replaced
    model(image())
    assert seen == convolutions


@every_backbone
def test_layers_without_the_bias_they_had_are_taken_as_they_are(cls: type) -> None:
    model = build(cls)
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.bias = None
    assert_same(model(image()), build_plain_twin(model)(image()), 1e-4)
    loss_of(model.train()(image(2))).backward()
    assert all(p.grad is not None for p in model.parameters())


def build_plain_twin(model: nn.Module) -> nn.Module:
    twin = copy.deepcopy(model)
    twin.fast = False
    return twin


@some_backbones
def test_transforms_of_torch_func_need_no_switch(cls: type) -> None:
    model, x = build(cls).double(), image(2).double()
    parameters = {k: v.detach() for k, v in model.named_parameters()}
    buffers = dict(model.named_buffers())

    def run(weights: dict, z: Tensor) -> tuple[Tensor, ...]:
        return functional_call(model, (weights, buffers), (z,))

    gradients = grad(lambda w: loss_of(run(w, x)))(parameters)
    loss_of(model(x)).backward()
    for name, parameter in model.named_parameters():
        scale = parameter.grad.abs().max() + 1e-3
        assert (gradients[name] - parameter.grad).abs().max() <= 1e-9 * scale
    each = vmap(lambda z: run(parameters, z[None]))(x)
    assert_same([level[:, 0] for level in each], model(x), 1e-9)
    values, tangents = jvp(lambda z: run(parameters, z), (x,), (torch.ones_like(x),))
    assert_same(values, model(x), 1e-9)
    step = 1e-5
    with torch.no_grad(), plain():
        moved = [a - b for a, b in zip(model(x + step), model(x - step))]
    assert_same(tangents, [m / (2 * step) for m in moved], 1e-3)
    with forward_ad.dual_level():
        dual = model(forward_ad.make_dual(x, torch.ones_like(x)))
        assert_same([forward_ad.unpack_dual(level).tangent for level in dual], tangents, 1e-9)


@some_backbones
def test_second_derivatives_are_plains_and_else_an_error_that_says_so(cls: type) -> None:
    model = build(cls).double()
    x = image().double().requires_grad_()
    with pytest.raises(UserError, match=r'create_graph=True .* `with backbones.plain\(\):`'):
        torch.autograd.grad(loss_of(model(x)), x, create_graph=True)
    for run in (model, build(cls, fast=False).double()):
        with plain() if run is model else torch.enable_grad():
            (slope,) = torch.autograd.grad(loss_of(run(x)), x, create_graph=True)
        slope.square().sum().backward()
        assert x.grad.abs().max() > 0
        x.grad = None


@pytest.mark.parametrize('cls', QUICK, ids=variant_id)
def test_batches_of_gradients_are_plains_and_else_an_error_that_says_so(cls: type) -> None:
    model, x = build(cls), image().requires_grad_()

    def slopes() -> Tensor:
        outputs = model(x)[-1].mean((0, 2, 3))
        batch = torch.eye(len(outputs))
        return torch.autograd.grad(outputs, x, batch, is_grads_batched=True)[0]

    with pytest.raises(UserError, match=r'is_grads_batched=True .* `with backbones.plain\(\):`'):
        slopes()
    with plain():
        assert slopes().shape[1:] == x.shape


@every_backbone
def test_copies_and_pickles_are_the_same_model(cls: type) -> None:
    model = build(cls)
    copies = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
    with torch.no_grad():
        for twin in copies:
            assert_same(twin(image()), model(image()), 0)


def test_plain_holds_for_models_that_prefer_memory() -> None:
    model = build(backbones.CloFormer, prefer='memory').double()
    x = image().double().requires_grad_()
    with plain():
        (slope,) = torch.autograd.grad(loss_of(model(x)), x, create_graph=True)
    assert slope.requires_grad


def test_explain_shows_what_the_model_prefers(capsys) -> None:
    shown = {}
    for prefer in ('time', 'memory'):
        with dispatch.mode(as_if_on='cuda'):
            backbones.explain(build(backbones.CloFormer, prefer=prefer))
        shown[prefer] = capsys.readouterr().out.split('Counted')[0]
    assert 'recompute' in shown['memory'] and 'recompute' not in shown['time']


def test_plain_holds_for_its_thread_alone() -> None:
    found = {}

    def other() -> None:
        found['other'] = dispatch.is_fast()

    with plain():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        found['own'] = dispatch.is_fast()
    assert found == dict(other=True, own=False)


@every_backbone
def test_threads_share_a_model(cls: type) -> None:
    model = build(cls)
    with torch.no_grad():
        expected = model(image())
    found: list[tuple] = [()] * 4

    def work(i: int) -> None:
        with torch.no_grad(), dispatch.mode(fast=i % 2 == 0):
            found[i] = model(image())

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for levels in found:
        assert_same(levels, expected, 1e-4)


@some_backbones
def test_grad_cam_works_on_stages_blocks_and_layers(cls: type) -> None:
    from pytorch_grad_cam import GradCAM

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = build(cls)
            self.head = nn.Linear(self.backbone.channels[-1], 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.backbone(x)[-1].mean((2, 3)))

    model = Classifier().eval()
    stage = model.backbone.stages[3]
    inner = [m for m in stage.modules() if is_projection(m)][-1]
    for layer in (stage, stage.blocks[-1], inner):

        def to_map(x: Tensor) -> Tensor:
            last = layer is not stage and x.shape[-1] != x.shape[-2]  # noqa: B023
            return x.permute(0, 3, 1, 2) if last else x

        with GradCAM(model, [layer], reshape_transform=to_map) as cam:
            assert cam(image(), None).shape == (1, 32, 32)


@every_backbone
def test_timms_feature_nets_find_the_stages(cls: type) -> None:
    from timm.models._features import FeatureHookNet, FeatureListNet

    model = build(cls)
    seen = {}
    for i, stage in enumerate(model.stages):
        stage.register_forward_hook(lambda m, _, out, i=i: seen.update({i: out}))
    with torch.no_grad():
        model(image())
        expected = [seen[i] for i in range(4)]
        for net in (FeatureHookNet, FeatureListNet):
            parts = net(copy.deepcopy(model), out_indices=(0, 1, 2, 3), flatten_sequential=True)
            if cls is backbones.MogaNet:  # its norms are between stages, which these run in turn
                with pytest.raises(RuntimeError, match='running_mean should contain'):
                    parts(image())
                continue
            assert_same(parts(image()), expected, 1e-4)
            assert parts.feature_info.channels() == list(model.channels)


@every_backbone
def test_timms_getter_net_gives_the_levels_and_leaves_out_the_rest(cls: type) -> None:
    from timm.models._features import FeatureGetterNet

    model = build(cls)
    expected = model(image())
    for chosen in ((0, 1, 2, 3), (1, 2), (0, -1)):
        net = FeatureGetterNet(copy.deepcopy(model), out_indices=chosen)
        levels = net(image())
        assert_same(levels, [expected[i] for i in chosen], 1e-6)
        assert [level.shape[1] for level in levels] == net.feature_info.channels()
        sum(level.sum() for level in levels).backward()
        assert [name for name, p in net.named_parameters() if p.grad is None] == []
    assert net.model.strides == (4, 32)


@some_backbones
def test_torchvisions_feature_extractor_traces_them(cls: type) -> None:
    from torchvision.models.feature_extraction import create_feature_extractor

    model = build(cls)
    nodes = {f'stages.{i}': str(i) for i in range(4)}
    extractor = create_feature_extractor(model, return_nodes=nodes)
    seen = {}
    for i, stage in enumerate(model.stages):
        stage.register_forward_hook(lambda m, _, out, i=i: seen.update({str(i): out}))
    with torch.no_grad():
        model(image())
        found = extractor(image())
    assert list(found) == list(nodes.values())
    assert_same(list(found.values()), [seen[name] for name in found], 1e-4)


@every_backbone
def test_timms_layer_decay_goes_by_depth(cls: type) -> None:
    from timm.optim import param_groups_layer_decay

    model = build(cls)
    groups = param_groups_layer_decay(
        model,
        weight_decay=0.1,
        layer_decay=0.5,
        no_weight_decay_list=model.no_weight_decay(),
    )
    scales = {id(p): g['lr_scale'] for g in groups for p in g['params']}
    depths = {n: model.get_layer_depth(n)[0] for n, _ in model.named_parameters()}
    ranks = {depth: rank for rank, depth in enumerate(sorted(set(depths.values())))}
    for name, parameter in model.named_parameters():
        behind = len(ranks) - 1 - ranks[depths[name]]
        assert scales[id(parameter)] == pytest.approx(0.5**behind)
    no_decay = {id(p) for g in groups if g['weight_decay'] == 0 for p in g['params']}
    exempt = {n for n, p in model.named_parameters() if p.ndim <= 1} | model.no_weight_decay()
    assert {n for n, p in model.named_parameters() if id(p) in no_decay} == exempt


@every_backbone
def test_checkpointing_is_switched_as_timm_switches_it(cls: type) -> None:
    model = build(cls).train()
    model.set_grad_checkpointing()
    calls: Counter[str] = Counter()
    for i, stage in enumerate(model.stages):
        stage.blocks[0].register_forward_pre_hook(lambda *_, i=i: calls.update([i]))
    loss_of(model(image(2))).backward()
    assert set(calls.values()) == {2}
    model.set_grad_checkpointing(False)
    calls.clear()
    loss_of(model(image(2))).backward()
    assert set(calls.values()) == {1}


@pytest.mark.parametrize('training', [False, True])
@every_backbone
def test_an_empty_batch_gives_empty_maps(cls: type, training: bool) -> None:
    model = build(cls).train(training)
    levels = model(torch.zeros(0, 3, 64, 96))
    expected = [(0, c, 64 // s, 96 // s) for c, s in zip(model.channels, model.strides)]
    assert [tuple(level.shape) for level in levels] == expected
    assert all(b.isfinite().all() for b in model.buffers())


@pytest.mark.parametrize('channels', [1, 2, 4, 12])
@every_backbone
def test_images_may_have_any_number_of_channels(cls: type, channels: int) -> None:
    model = build(cls, in_channels=channels)
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    assert first.in_channels == channels
    levels = model(image(1, channels))
    assert [level.shape[1] for level in levels] == list(model.channels)
    with pytest.raises(UserError, match=rf'expects \(B, {channels}, H, W\)'):
        model(image(1, 3))


@pytest.mark.parametrize('channels', [1, 4])
def test_published_weights_fit_other_channels_as_timm_adapts_them(channels, tmp_path) -> None:
    from timm.models._manipulate import adapt_input_conv

    torch.manual_seed(0)
    published = backbones.create('cloformer_xxs').state_dict()
    torch.save(published, tmp_path / 'rgb.pth')
    path = str(tmp_path / 'rgb.pth')
    model = backbones.create('cloformer_xxs', pretrained=path, in_channels=channels)
    expected = adapt_input_conv(channels, published['stem.0.weight'])
    torch.testing.assert_close(model.stem[0].weight, expected)
    assert f'; stem.0.weight adapted from 3 to {channels} input channels' in str(model.loaded)


@pytest.mark.parametrize(
    'given, levels', [(3, (3,)), (-1, (3,)), ((-2, -1), (2, 3)), ([0, 2], (0, 2))]
)
def test_levels_are_named_as_in_lists(given, levels) -> None:
    assert backbones.create('cloformer_xxs', out_indices=given).out_indices == levels


@pytest.mark.parametrize(
    'wrong, hint',
    [
        (dict(drop_path=0.1), "did you mean 'drop_path_rate'"),
        (dict(in_chans=4), "did you mean 'in_channels'"),
        (dict(out_indexes=(1,)), "did you mean 'out_indices'"),
        (dict(output_stride=8), 'allowed: drop_path_rate'),
    ],
)
def test_wrong_settings_name_the_right_ones(wrong: dict, hint: str) -> None:
    with pytest.raises(TypeError, match=hint) as caught:
        backbones.create('cloformer_xxs', **wrong)
    assert isinstance(caught.value, UserError)


@pytest.mark.parametrize('fast', [True, False])
@every_backbone
def test_levels_have_the_layout_of_the_images(cls: type, fast: bool) -> None:
    model = build(cls, fast=fast)
    odd = torch.randn(2, 3, 75, 107)
    for level in model(odd):
        assert level.is_contiguous()
        level.view(2, -1)
    for level in model(odd.contiguous(memory_format=torch.channels_last)):
        assert level.is_contiguous(memory_format=torch.channels_last)


def test_explain_says_which_form_runs_and_why(capsys) -> None:
    model = build(backbones.CloFormer)
    model.stages[0].blocks[0].attn.proj.register_forward_hook(lambda *_: None)
    with torch.no_grad():
        backbones.explain(model)
        out = capsys.readouterr().out
        assert 'stages.0.blocks.0.attn.proj has hooks' in out
        assert 'inference on cpu in float32' in out and 'strips' in out
        with plain():
            backbones.explain(model)
    assert 'fast forms are turned off' in capsys.readouterr().out
    assert 'Counted, not measured' in out and PLAIN in out
    backbones.explain(nn.Linear(2, 2))
    assert capsys.readouterr().out == 'Linear has no part with a fast form\n'


@pytest.mark.slow
@every_backbone
def test_sharded_parameters_get_the_gradients_of_ddp(cls: type) -> None:
    command = (sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', 2)
    out = call(*command, HERE / 'support/sharded.py', cls.__name__)
    for part in ('stage', 'block', 'layer'):
        assert f'{cls.__name__} {part} equal' in out
