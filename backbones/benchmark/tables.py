"""The tables of docs/performance.md, by section, and the goals beside them."""

FIVE = dict(
    dilateformer_t='DilateFormer-T',
    volo_d1='VOLO-D1',
    cswin_t='CSWin-T',
    moganet_t='MogaNet-T',
    cloformer_xs='CloFormer-XS',
)
PEERS = dict(
    timm_swin_t="timm's Swin-T",
    timm_convnext_t="timm's ConvNeXt-T",
    mmdet_resnet50="MMDetection's ResNet-50",
    mmdet_swin_t="MMDetection's Swin-T",
)
NAMES = FIVE | PEERS
# shares of the published formulation: at most
GOALS = {
    'inference time': dict(zip(FIVE, (0.25, 0.28, 0.65, 0.55, 0.65))),
    'inference memory': dict(zip(FIVE, (0.30, 0.30, 0.60, 0.80, 0.60))),
    'training time': dict(zip(FIVE, (0.55, 0.60, 0.75, 0.65, 0.75))),
    'training memory': dict(zip(FIVE, (0.55, 0.60, 0.70, 0.80, 0.70))),
}
SECTION = {'inference': 'inference', 'training': 'train'}
RATE_GOALS = dict(zip(FIVE, (1.2, 1.2, 1.2, 0.5, 0.5)))  # of timm's Swin-T's rate: at least
COMPILED_GOAL = 1.2  # eager / compiled: at least
LINEAR_GOAL = 1.15  # time per pixel at 1024x2048 / at 512x512: at most

Results = list[dict]


def goals(kind: str, results: Results) -> str:
    """The goals of inference or training."""
    rows = []
    for goal, limits in ((g, limits) for g, limits in GOALS.items() if g.startswith(kind)):
        number, ratio = keys_of(goal)
        unit = 's' if number == 'median_ms' else 'MiB'
        for name, limit in limits.items():
            pairs = [pair_of(results, name, threads) for threads in (1, 2)]
            known = [pair for pair in pairs if pair]
            if not known:
                continue
            values = [_amount(r.get(number), unit) for r in known[0]]
            shares = [pair and pair[1].get(ratio) for pair in pairs]
            shown = [share for pair, share in zip(pairs, shares) if pair]
            met = _met(all(share is not None and share <= limit for share in shown))
            row = (
                FIVE[name],
                goal.split()[1],
                *values,
                *map(share_text, shares),
                f'{limit:.2f}',
                met,
            )
            rows.append(row)
    repeats = sorted({(r['backend'], r['repeats']) for r in results if r['backend'] != 'peer'})
    counts = ', '.join(f'{backend} {count}' for backend, count in repeats)
    head = (
        *('backbone', 'what', 'published', 'here'),
        *('share, 1 thread', 'share, 2 threads', 'goal', 'met'),
    )
    return (
        md_table(head, rows) + f'\n\nTimed runs of each: {counts}. Absolute values are those '
        'of the first share.'
    )


def peers(results: Results) -> str:
    rows = []
    for threads in sorted({r['threads'] for r in results}):
        of = {r['backbone']: r for r in results if r['threads'] == threads and _ours(r)}
        swin = of.get('timm_swin_t')
        for name in (n for n in NAMES if n in of):
            r, goal = of[name], RATE_GOALS.get(name)
            rate = r['gflops'] / swin['gflops'] if swin else None
            met = _met(rate >= goal) if goal and rate else ''
            row = (NAMES[name], threads, f'{r["median_ms"]:.0f}', f'{r["gmacs"]:.1f}')
            row += (f'{r["ns_per_mac"]:.4f}', f'{r["gflops"]:.0f}', share_text(rate))
            rows.append((*row, f'{goal:.1f}' if goal else '', met))
    head = ('backbone', 'threads', 'ms per image', 'GMAC', 'ns per MAC', 'GFLOP/s')
    return md_table((*head, 'of Swin-T', 'goal', 'met'), rows) + _cswin_beside_swin(results)


def _cswin_beside_swin(results: Results) -> str:
    lines = []
    for threads in sorted({r['threads'] for r in results}):
        ms = {
            r['backbone']: r['median_ms'] for r in results if r['threads'] == threads and _ours(r)
        }
        if {'cswin_t', 'timm_swin_t'} <= set(ms):
            share = ms['cswin_t'] / ms['timm_swin_t']
            lines.append(f'{share:.2f} at {threads} thread{"s" * (threads > 1)}')
    if not lines:
        return ''
    return (
        f"\n\nCSWin-T's time per image as a share of timm's Swin-T's (goal: below 1): "
        f'{", ".join(lines)}.'
    )


def compiled(results: Results) -> str:
    rows = []
    for r in (r for r in results if r['compile'] and r.get('compile_ratio')):
        eager = r['median_ms'] / r['compile_ratio']
        gain = 1 / r['compile_ratio']
        size = 'x'.join(map(str, r['size']))
        row = (NAMES[r['backbone']], size, f'{eager:.0f}', f'{r["median_ms"]:.0f}', f'{gain:.2f}')
        rows.append((*row, f'{COMPILED_GOAL:.1f}', _met(gain >= COMPILED_GOAL)))
    return md_table(('backbone', 'size', 'eager, ms', 'compiled, ms', 'gain', 'goal', 'met'), rows)


def linear(results: Results) -> str:
    """Time and multiply-adds per pixel on the smallest and the largest image."""
    small, large = (f(results, key=_pixels)['size'] for f in (min, max))
    rows = []
    for name in FIVE:
        of = {tuple(r['size']): r for r in results if r['backbone'] == name and _ours(r)}
        pair = [of[tuple(size)] for size in (small, large) if tuple(size) in of]
        if len(pair) < 2:
            continue
        times, macs = ([r[key] / _pixels(r) for r in pair] for key in ('median_ms', 'gmacs'))
        growth, expected = times[1] / times[0], macs[1] / macs[0]
        row = (FIVE[name], *(f'{t * 1e6:.0f}' for t in times), f'{growth:.2f}', f'{expected:.2f}')
        rows.append((*row, f'{1 - 1 / expected:.0%}', _met(growth <= LINEAR_GOAL)))
    sizes = [f'ns per pixel at {size[0]}x{size[1]}' for size in (small, large)]
    head = ('backbone', *sizes, 'growth', "the MACs' growth", 'MACs that are not linear')
    return md_table((*head, f'growth <= {LINEAR_GOAL}'), rows)


def _pixels(result: dict) -> int:
    return result['size'][0] * result['size'][1]


def memory(results: Results) -> str:
    rows = []
    for name in dict.fromkeys(r['backbone'] for r in results):
        of = {(r['backend'], r['with_cp']): r for r in results if r['backbone'] == name}
        ways = [of[way] for way in (('reference', False), ('auto', False), ('auto', True))]
        shares = [share_text(r['saved_ratio']) for r in ways[1:]]
        rows.append((name, *(f'{r["saved_mib"]:.0f}' for r in ways), *shares))
    head = ('variant', 'published, MiB', 'here, MiB', '`with_cp`, MiB', 'share', 'with `with_cp`')
    return md_table(head, rows)


def data(results: Results) -> str:
    head = ('config', 'pipeline', 'batch', 'workers', 'images', 'images/s')
    keys = ('config', 'mode', 'batch', 'workers', 'images', 'images_per_s')
    return md_table(head, [[r[key] for key in keys] for r in results])


def evaluation(results: Results) -> str:
    seconds = {r['backend']: r['seconds'] for r in results}
    gain = seconds['pycocotools'] / seconds['faster_coco_eval']
    rows = []
    for r in results:
        precisions = [r['metrics'].get(f'{kind}_mAP', '-') for kind in ('bbox', 'segm')]
        rows.append(
            (r['backend'], r['images'], r['detections'], f'{r["seconds"]:.1f}', *precisions)
        )
    head = ('evaluation', 'images', 'detections', 'seconds', 'box AP', 'mask AP')
    agree = 'agree' if results[0]['agree'] else '**differ**'
    return f'{md_table(head, rows)}\n\n{gain:.1f} times as fast; all average precisions {agree}.'


def pair_of(results: Results, name: str, threads: int) -> tuple[dict, dict] | None:
    """The results of the published formulation and of ours that a goal compares."""
    found = {r['backend']: r for r in results if r['backbone'] == name and r['threads'] == threads}
    return (found['reference'], found['auto']) if {'reference', 'auto'} <= set(found) else None


def keys_of(kind: str) -> tuple[str, str]:
    return ('median_ms', 'time_ratio') if kind.endswith('time') else ('peak_mib', 'peak_ratio')


def _ours(result: dict) -> bool:
    return result['backend'] != 'reference'


def _met(met: bool) -> str:
    return 'yes' if met else '**no**'


def share_text(value: float | None) -> str:
    return '-' if value is None else f'{value:.2f}'


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return '-'
    return f'{value / 1e3:.2f} s' if unit == 's' else f'{value:.0f} MiB'


def md_table(head: tuple, rows: list) -> str:
    lines = [head, ['---'] * len(head), *rows]
    return '\n'.join('| ' + ' | '.join(map(str, line)) + ' |' for line in lines)
