"""docs/performance.md, made from docs/performance.json and docs/performance_notes.yml."""

from backbones.benchmark import tables
from backbones.benchmark.tables import FIVE, GOALS, SECTION

KINDS = (*GOALS, 'rate', 'per image', 'compiled', 'linear')


def page(report: dict, notes: dict[str, str], commands: dict[str, list[str]]) -> str:
    """Write the page.

    Args:
        report: section -> `machine`, `minutes`, `results`; a section may be missing.
        notes: goal, e.g. 'inference time volo_d1', -> why it is missed, or what it took.
        commands: section -> the commands that measure it.

    Raises:
        ValueError: a note on no goal.
    """
    goals = [f'{kind} {name}' for kind in KINDS for name in FIVE]
    unknown = [key for key in notes if key not in goals]
    if unknown:
        raise ValueError(f'notes on {", ".join(unknown)}; allowed: {", ".join(goals)}')
    parts = [INTRODUCTION, _machines(report)]
    for section, (title, text, table) in PARTS.items():
        source = 'inference' if section == 'peers' else section
        parts.append(f'## {title}\n\n{text}')
        if source in report:
            parts.append(table(report[source]['results']))
        else:
            parts.append(f'Not measured yet: `tools/performance.py measure {source}`.')
        about = [key for key in goals if key in notes and KIND_SECTION[_kind(key)] == section]
        parts += [f'**{_title(key)}.** {notes[key].strip()}' for key in about]
        if section in commands:
            parts.append('```bash\n' + '\n'.join(commands[section]) + '\n```')
    return '\n\n'.join(parts) + '\n'


def summary(report: dict) -> str:
    """Five lines, one a backbone, for the README."""
    rows = []
    for name in FIVE:
        shares = [_share(report, kind, name, threads=1) for kind in GOALS]
        rows.append([FIVE[name], *(tables.share_text(share) for share in shares)])
    head = ('', 'inference 800x1280: time', 'memory', 'training step 512x512: time', 'memory')
    return tables.md_table(head, rows)


def _share(report: dict, kind: str, name: str, threads: int) -> float | None:
    section = report.get(SECTION[kind.split()[0]])
    pair = tables.pair_of(section['results'], name, threads) if section else None
    return pair and pair[1].get(tables.keys_of(kind)[1])


def _machines(report: dict) -> str:
    lines = ['| section | processor | cores | system | PyTorch | load at start | minutes |']
    lines.append('|---' * 7 + '|')
    for section, part in report.items():
        m = part['machine']
        row = (section, m['cpu'], m['cores'], m['system'], m['torch'], f'{m["load"]:.1f}')
        lines.append('| ' + ' | '.join(map(str, (*row, f'{part["minutes"]:.1f}'))) + ' |')
    return '\n'.join(lines) if report else 'Nothing is measured yet.'


def _kind(goal: str) -> str:
    return goal.rsplit(' ', 1)[0]


def _title(goal: str) -> str:
    kind, name = goal.rsplit(' ', 1)
    return f'{FIVE[name]}, {kind}'


INTRODUCTION = """# Performance

Made by `tools/performance.py` from `docs/performance.json`; do not edit. `make benchmark` measures
what is missing there (all of it: about 35 minutes on two quiet cores), and
`tools/performance.py measure SECTION --again` measures a section anew. Shares and ratios come from
candidates that ran in turns in one process. "Published" is the published formulation of each
operator (`backend='reference'`); float32, batch 1, random weights, median times. Memory beside
times is the peak of a process of its own above its level before the step."""
PARTS = {
    'inference': (
        'Inference at 800x1280, against the published formulation',
        'Goals are upper limits, for 1 and 2 threads.',
        lambda results: tables.goals('inference', results),
    ),
    'train': (
        'Training step at 512x512, against the published formulation',
        'Forward and backward pass, without an optimizer.',
        lambda results: tables.goals('training', results),
    ),
    'peers': (
        'Peers, inference at 800x1280',
        'In the same run as the first table. A multiply-add (MAC) counts as two operations; MACs '
        'are those of\nconvolutions and matrix products in the published formulation, attention '
        'included.',
        tables.peers,
    ),
    'compiled': (
        '`torch.compile` against eager',
        'Whole graphs (`fullgraph=True`), static shapes, one thread.',
        tables.compiled,
    ),
    'linear': (
        'Cost per pixel',
        'MACs that are not linear: what global attention (in CSWin also the stripes, as long as '
        'the map) adds at\n1024x2048 beyond 8 times the MACs at 512x512.',
        tables.linear,
    ),
    'memory': (
        'Memory of a training step at 2 x 800x1280',
        'What autograd keeps from the forward to the backward pass, float32: distinct storages '
        'without parameters\nand image, counted by shapes; the device does not change it. '
        'With `with_cp` the\nbackward pass adds what one block keeps.',
        tables.memory,
    ),
    'data': (
        'Data path',
        "Images/s of the configs' pipelines with their own data loaders, on invented images of "
        "COCO's usual size\n(480x640, JPEG, 7 polygons).",
        tables.data,
    ),
    'evaluation': (
        'Evaluation of detections',
        'The same invented detections of COCO-like images (50 an image, 80 classes) in both.',
        tables.evaluation,
    ),
}
KIND_SECTION = {
    **{kind: SECTION[kind.split()[0]] for kind in GOALS},
    **{'rate': 'peers', 'per image': 'peers', 'compiled': 'compiled', 'linear': 'linear'},
}
