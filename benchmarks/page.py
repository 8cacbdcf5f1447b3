"""docs/performance.md, made from docs/performance.json."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from backbones.forms import costs_of_forms, taken
from backbones.tables import table

CARDS = (24, 48, 80)  # GiB
FILLED = 0.8  # share of a card; the rest is for what is not counted
COMMAND = '<!-- needs: time -->\n\n```bash\n{}\n```'
INTRODUCTION = """# Performance

<!-- written by `make benchmark` from performance.json: do not edit -->

How much time and memory the backbones need, compared with the formulation that their authors
published and with other backbones.

- *Published* is the same model with every operator computed as in its paper (`backbones.plain()`).
  A share of 0.25 means a quarter of the published time or memory.
- Times are medians in float32 for one image at a time, on one thread unless stated otherwise.
- Shares compare models that ran in turns in one process, so they transfer to other machines better
  than times. The brackets give the ratio between the quartiles of both.
- Memory next to a time is the peak of a separate process, above its level before the step.

To repeat a measurement, run the command below its table, which prints the numbers.
`make benchmark` measures everything that is missing in `performance.json`; a complete run takes
about an hour on two cores. `benchmarks/performance.py measure SECTION --again` repeats a section:
{sections}."""


def page(report: dict, commands: dict[str, str]) -> str:
    """Write the page.

    Args:
        report: section -> `machine`, `minutes`, `results`; missing sections are left out.
        commands: section -> the command that measures it.
    """
    parts = [INTRODUCTION.format(sections=', '.join(commands)), machines(report)]
    for section, (title, text, make) in PARTS.items():
        if section in report:
            parts += [f'## {title}', text, make(report[section]['results'])]
            parts.append(COMMAND.format(commands[section]))
    parts += [FORMS, forms(), COMMAND.format('benchmarks/forms.py')]
    return '\n\n'.join(parts) + '\n'


def machines(report: dict) -> str:
    """Return one row for successive sections that were measured on the same machine."""
    keys = ('cpu', 'cores', 'system', 'torch')
    facts = {name: [part['machine'][key] for key in keys] for name, part in report.items()}
    rows = [[', '.join(names), *same] for same, names in groupby(facts, facts.get)]
    return table(('sections', 'processor', 'cores', 'system', 'PyTorch'), rows)


def by_name(results: list[dict]) -> Iterator[tuple[str, list[dict]]]:
    """Return each backbone with its results, in the order of the command that measured them."""
    for name in dict.fromkeys(r['backbone'] for r in results):
        yield name, [r for r in results if r['backbone'] == name]


def cells(results: Iterable[dict], key: str, places: int = 2, unit: float = 1) -> list[str | None]:
    return [r[key] and f'{r[key] / unit:.{places}f}' for r in results]


def costs(results: list[dict]) -> str:
    """Compare time and memory with the published formulation's."""
    rows = []
    for name, found in by_name([r for r in results if r['backend'] != 'peer']):
        published, ours, _, with_two = found
        seconds = cells((ours, published), 'median_ms', unit=1e3)
        shares = [share(r) for r in (ours, with_two)]
        mib = cells((ours, published), 'peak_mib', 0)
        rows.append([name, *seconds, *shares, *mib, *cells([ours], 'peak_ratio')])
    head = ('backbone', 'time, s', 'published, s', 'share', 'share, 2 threads')
    return table((*head, 'memory, MiB', 'published, MiB', 'share of memory'), rows)


def share(result: dict) -> str:
    low, high = result['time_ratio_range']
    return f'{result["time_ratio"]:.2f} ({low:.2f} to {high:.2f})'


def inference(results: list[dict]) -> str:
    rows = []
    for name, found in by_name([r for r in results if r['backend'] != 'plain']):
        rates = cells(found, 'gflops', 0)
        seconds = cells(found, 'median_ms', unit=1e3)
        rows.append([name, *cells(found[:1], 'gmacs', 1), *seconds, *rates])
    head = ('backbone', 'GMAC', 'time, s', 'time, 2 threads', 'GFLOP/s', 'GFLOP/s, 2 threads')
    return f'{costs(results)}\n\n{PEERS}\n\n{table(head, rows)}'


def iteration(results: list[dict]) -> str:
    parts = ('data', 'backbone', 'heads', 'optimizer')
    rows = []
    for r in results:
        data, *computed = (r[f'{part}_ms'] / 1e3 for part in parts)
        shares = f'{computed[0] / sum(computed):.2f}'
        rows.append([r['config'], *(f'{s:.2f}' for s in (data, *computed)), shares])
    head = ('config', 'data, s', 'backbone, s', 'neck, heads, losses, s', 'optimizer, s')
    return table((*head, "backbone's share"), rows)


def compiled(results: list[dict]) -> str:
    rows = [
        [name, *cells(found, 'median_ms', 0), f'{1 / found[1]["compile_ratio"]:.2f}']
        for name, found in by_name(results)
    ]
    return table(('backbone', 'eager, ms', 'compiled, ms', 'gain'), rows)


def linear(results: list[dict]) -> str:
    """Compare time and multiply-adds per pixel, and how they grow with the image."""
    rows = []
    for name, found in by_name(results):
        pixels = [height * width for height, width in (r['size'] for r in found)]
        ms, macs = ([r[k] / n for r, n in zip(found, pixels)] for k in ('median_ms', 'gmacs'))
        growth = [f'{large / small:.2f}' for small, large in (ms, macs)]
        rows.append([name, *(f'{per_pixel * 1e6:.0f}' for per_pixel in ms), *growth])
    head = ('backbone', 'ns per pixel, 512x512', 'ns per pixel, 1024x2048')
    return table((*head, 'growth', 'growth of MACs'), rows)


def usual(results: list[dict]) -> str:
    """Compare ours with the usual backbones per pixel at each size, sorted by multiply-adds."""
    sizes = dict.fromkeys(tuple(r['size']) for r in results)
    quantities = {
        'kMAC': ('gmacs', 1e6, 0),
        'ns': ('median_ms', 1e6, 0),
        'KiB in training': ('train_peak_mib', 1024, 2),
    }
    head = ['backbone', 'parameters, M', *(f'{q}, {h}x{w}' for q in quantities for h, w in sizes)]
    rows = []
    for name, found in sorted(by_name(results), key=lambda pair: pair[1][0]['gmacs']):
        row = [name, f'{found[0]["params"] / 1e6:.1f}']
        for key, unit, places in quantities.values():
            for r in found:
                row += cells([r], key, places, r['size'][0] * r['size'][1] / unit)
        rows.append(row)
    return table(head, rows)


def memory(results: list[dict]) -> str:
    rows = [
        [name, *cells(found, 'saved_mib', 0), *cells(found[1:], 'saved_ratio')]
        for name, found in by_name(results)
    ]
    head = ('backbone', 'published, MiB', 'here, MiB', '`with_cp`, MiB')
    return table((*head, 'share', 'share, `with_cp`'), rows)


def forms() -> str:
    """Return what the operators' forms cost on a GPU, and which of them run there."""
    rows = [
        [*(str(value) for value in record.values()), taken(record['operator'], record['form'])]
        for record in costs_of_forms()
    ]
    head = ('operator', 'form', 'forward, MB', 'backward, MB', 'kept, MB', 'used for')
    return table(head, rows)


def cards(results: list[dict]) -> str:
    """Return what a training step needs, and the first way to run it that fits each card."""
    ways = [key for key in results[0] if key not in ('backbone', 'size', 'batch')]

    def first(result: dict, card: int) -> str:
        return next((way for way in ways if result[way] <= FILLED * card * 1024), 'too large')

    rows = [
        [r['backbone'], *(r[way] for way in ways), *(first(r, card) for card in CARDS)]
        for r in results
    ]
    head = ('backbone', *(f'{way}, MiB' for way in ways))
    return table((*head, *(f'{card} GB' for card in CARDS)), rows)


FORMS = """\
## Forms of the operators on a GPU

How much memory one operator in the smallest variant's first stage moves and keeps in a training
step, on a map of 200x320 cells in bfloat16. **It is counted from shapes, not measured**: each
operation reads its inputs and writes its outputs once. *Kept* is what autograd holds from the
forward to the backward pass. Inference uses the form with the least forward traffic. Training uses
the form with the least traffic in both passes (*time*), or, if the backbone has `prefer='memory'`,
the form that keeps the least (*memory*). The Triton kernels are used if `DENSE_BACKBONES_TRITON` is
1. Operators that are not listed run layer by layer on GPUs."""
PEERS = """\
Compared with other backbones, in the same run. A multiply-add (MAC) counts as two operations.
Convolutions and matrix products are counted as published, including attention."""
PARTS = {
    'inference': ('Inference, one image of 800x1280 pixels', 'The forward pass.', inference),
    'train': (
        'Training step, one image of 512x512 pixels',
        'Forward and backward pass, without an optimizer.',
        costs,
    ),
    'iteration': (
        'Whole training iteration, two images',
        """\
Mask R-CNN on images of 800x1280 pixels and UperNet on 512x512, on two threads, with random weights
so that each image has all 512 proposals. *Data* is the time in which a worker loads a batch. The
backbone's share excludes it, because workers load the next batch in the meantime.""",
        iteration,
    ),
    'compiled': (
        '`torch.compile`, one image of 512x512 pixels',
        """\
With `fullgraph=True` and static shapes. Attention and convolutions call the same library with and
without the compiler. Linear layers do not: oneDNN computes them without it, and MKL with it. MKL is
slower on AMD's processors, so the compiler may lose more there than it gains elsewhere.""",
        compiled,
    ),
    'linear': (
        'Cost per pixel',
        """\
If the time per pixel grows, the reason is attention over the whole map: its multiply-adds (MACs)
grow with the square of the number of pixels.""",
        linear,
    ),
    'usual': (
        'Beside the usual backbones, per pixel',
        """\
One image of 512x512 or 1024x1024 pixels; all numbers are per pixel. Multiply-adds (MACs) and time
are for the forward pass of all four levels. Memory is the peak of a forward and backward pass in a
separate process, including gradients but not weights. Names with `timm:` are
[timm's models](timm.md); for plain transformers (`vit`), the numbers include the layers that make
the levels. The machine was also busy with other work, which lengthens the times.""",
        usual,
    ),
    'memory': (
        'Memory of a training step, two images of 800x1280 pixels',
        """\
The memory that autograd keeps from the forward to the backward pass in float32, without parameters
and images. It is counted from shapes, with the forms that CPUs use; `prefer='memory'` on GPUs keeps
about as much. `with_cp=True` recomputes each block in the backward pass, which needs in addition
what one block keeps.""",
        memory,
    ),
    'cards': (
        'Which variant trains on which card',
        """\
Estimated memory for training our Mask R-CNN configs with two images of 800x1280 pixels per GPU. For
cards with 24, 48 and 80 GB, the table names the first option that fits. *Nothing* is float32 and no
option, `with_cp` stands for `--cfg-options model.backbone.with_cp=True`, and *all three* combines
them. `--prefer memory` and `with_cp` make training slower.

The memory is counted from shapes, and no GPU has confirmed it. It includes weights, gradients and
AdamW's moments (16 bytes per parameter), the images, and what the forward pass keeps in backbone,
neck, region proposals and heads with 512 proposals per image; with `with_cp` also what the largest
block keeps while it is recomputed. An option fits if this fills at most 80 % of the card. The rest
is for losses, temporary results, CUDA and fragmentation.""",
        cards,
    ),
}
