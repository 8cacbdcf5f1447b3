"""Fuzz a reader of files from others: python tests/support/fuzz.py json --minutes 20.

Needs `pip install atheris`. It changes inputs, keeps those that reach new code, and ends at the
first one that raises anything except a UserError, or takes more than 20 seconds or 1 GiB. That
input is left in the current folder, and `python tests/support/fuzz.py json FILE` repeats it.
"""

import argparse
import io
import json
import random
import resource
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=['backbones', 'yaml', 'defusedxml', 'json']):
    from backbones.checkpoints import classes, files
    from backbones.cli import check_data
    from backbones.data.files import yaml_text  # noqa: F401

import own_data
import torch
from own_data import make_coco, make_voc, make_yolo
from safetensors.torch import save
from test_any_data import FIELDS, ODD_VALUES

from backbones.errors import UserError

own_data.NUMBER = {'train': 2, 'val': 1}  # images, which take most of the time
MAKERS = dict(json=make_coco, yaml=make_yolo, xml=make_voc, txt=make_yolo)
FILES = dict(
    json='annotations/train.json',
    yaml='data.yaml',
    xml='Annotations/train_0.xml',
    txt='labels/train/0.txt',
    checkpoint='model.pth',
)
WORDS = [*(f'"{name}"' for names in FIELDS.values() for name in names), *FIELDS, 'names', 'nc',
         'path', 'train', 'kpt_shape', '<object>', '<bndbox>', '<xmin>', '<polygon>', '<size>',
         '<difficult>', '<!ENTITY', '&a', '*a', '!!', '0.5', '1e999', 'nan',
         'ctorch\\x0a']  # fmt: skip


def check_folder(root: Path) -> None:
    check_data.text(check_data.check(str(root))).encode()


def check_checkpoint(root: Path) -> None:
    file = files.read(str(root / FILES['checkpoint']))
    classes.classes_in(file)
    files.other_entries(file, files.select(file, None, ('state_dict', 'model'), 'file')[0])


def checkpoints() -> list[bytes]:
    """An MMEngine checkpoint in both of PyTorch's formats, and its tensors as safetensors."""
    tensors = {'stem.weight': torch.ones(2, 3), 'stem.bias': torch.ones(2).half()}
    whole = dict(state_dict=tensors, meta=dict(iter=3, dataset_meta=dict(classes=('a', 'b'))))
    made = [save(tensors)]
    for new in (True, False):
        file = io.BytesIO()
        torch.save(whole, file, _use_new_zipfile_serialization=new)
        made.append(file.getvalue())
    return made


def change_json(content: bytes, size: int, seed: int) -> bytes:
    """Replace a random part by an odd value, or by another part of the file."""
    draw = random.Random(seed)
    try:
        whole = [json.loads(content)]
        node, key = draw.choice(places(whole))
        node[key] = draw.choice([*ODD_VALUES, *(n[k] for n, k in places(whole)[:200])])
        changed = json.dumps(whole[0]).encode()
        return changed if len(changed) <= size else content
    except (ValueError, RecursionError):
        return atheris.Mutate(content, size)


def places(node: dict | list) -> list[tuple]:
    """Yield everything in a JSON's lists and dicts, as its container and its key there."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node)
    found: list[tuple] = []
    for key, value in pairs:
        found.append((node, key))
        found += places(value) if isinstance(value, dict | list) else []
    return found


def change_checkpoint(content: bytes, size: int, seed: int) -> bytes:
    """Change the pickle in a zip archive, because its checksums detect other changes."""
    made = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(made, 'w') as target:
            for name in source.namelist():
                part = source.read(name)
                target.writestr(name, atheris.Mutate(part, 2048) if name.endswith('.pkl') else part)
    except Exception:  # zipfile's, for an archive that earlier changes have damaged
        return atheris.Mutate(content, size)
    return made.getvalue() if made.tell() <= size else content


STRUCTURED = dict(json=change_json, checkpoint=change_checkpoint)


def mutator(kind: str) -> Callable[[bytes, int, int], bytes]:
    """Change bytes, and every other time their meaning if there is a function for that."""

    def change(content: bytes, size: int, seed: int) -> bytes:
        function = STRUCTURED.get(kind)
        if function and seed % 2:
            return function(content, size, seed)
        return atheris.Mutate(content, size)

    return change


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('kind', choices=FILES)
    parser.add_argument('file', nargs='?', help='an input to repeat')
    parser.add_argument('--minutes', type=float, default=20)
    parser.add_argument(
        '--corpus', default='', help='a folder of inputs to begin with, and to fill'
    )
    args = parser.parse_args()
    root = Path(tempfile.mkdtemp())
    path = root / FILES[args.kind]
    check = check_folder if args.kind in MAKERS else check_checkpoint
    seeds = checkpoints()
    if args.kind in MAKERS:
        seeds = [(MAKERS[args.kind](root) / FILES[args.kind]).read_bytes()]
    corpus = Path(args.corpus or tempfile.mkdtemp())
    corpus.mkdir(exist_ok=True)
    for number, seed in enumerate(seeds):
        (corpus / f'seed_{number}').write_bytes(seed)
    words = root.with_suffix('.dict')
    words.write_text('\n'.join('"' + w.replace('"', '\\"') + '"' for w in WORDS))

    def once(content: bytes) -> None:
        path.write_bytes(content)
        try:
            check(root)
        except UserError as error:
            assert str(error)

    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    options = [f'-max_total_time={args.minutes * 60:.0f}', '-timeout=20', '-max_len=8192',
               f'-rss_limit_mb={taken + 1024}', f'-dict={words}']  # fmt: skip
    change = mutator(args.kind)
    atheris.Setup([sys.argv[0], *options, args.file or str(corpus)], once, custom_mutator=change)
    atheris.Fuzz()


if __name__ == '__main__':
    main()
