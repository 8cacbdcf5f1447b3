"""Collecting a dataset's faults, to report all of them at once."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from backbones.data.faults.of_files import FILES, IMAGES, LABEL_MAPS
from backbones.data.faults.of_labels import CLASSES, CONFIGS, INSTANCES
from backbones.data.files.images import ImageFacts
from backbones.data.files.nearby_files import elsewhere, near
from backbones.errors import UserError, did_you_mean, shown

# every kind of fault
KINDS = {**IMAGES, **FILES, **INSTANCES, **LABEL_MAPS, **CLASSES, **CONFIGS}
EXAMPLES = 3  # shown per fault


@dataclass
class Fault:
    """All cases of one kind in one place.

    Args:
        kind: a key of `KINDS`.
        place: the file, folder or split of the cases.
        total: the number of items checked; 0 if it would mean nothing.
    """

    kind: str
    place: str
    count: int = 0
    total: int = 0
    examples: list[str] = field(default_factory=list)


class Faults:
    """A collection of faults, with one entry per kind and place.

    Args:
        allowed: kinds that are intentional, and become warnings.

    Raises:
        UserError: an allowed kind does not exist.
    """

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self.allowed = set(allowed)
        self.found: dict[tuple[str, str], Fault] = {}
        for kind in self.allowed - KINDS.keys():
            hint = did_you_mean(kind, KINDS) or f'; allowed: {", ".join(KINDS)}'
            raise UserError(f'--allow {kind}: no such kind of fault{hint}')

    def add(self, kind: str, place: object, example: object, *, total: int = 0) -> None:
        """Count a case, and keep it as an example if it is among the first."""
        place = shown(place)
        fault = self.found.setdefault((kind, place), Fault(kind, place, total=total))
        fault.count += 1
        if len(fault.examples) < EXAMPLES:
            fault.examples.append(shown(example))

    def count(self, kind: str) -> int:
        """Count the cases of a kind in all places."""
        return sum(fault.count for fault in self.found.values() if fault.kind == kind)

    def level(self, fault: Fault) -> str:
        """Return 'error' or 'warning'."""
        return 'warning' if fault.kind in self.allowed else KINDS[fault.kind].level

    @property
    def errors(self) -> list[Fault]:
        return [fault for fault in self.found.values() if self.level(fault) == 'error']

    @property
    def warnings(self) -> list[Fault]:
        return [fault for fault in self.found.values() if self.level(fault) == 'warning']

    def lines(self) -> list[str]:
        """Describe all faults, errors first, in three lines each: fault, examples, remedy."""
        return [line for fault in self.errors + self.warnings for line in self._lines(fault)]

    def short(self, fault: Fault) -> str:
        """Say what is wrong and where, in one line."""
        # if several splits share a folder, the total belongs to only one of them
        of = f' of {fault.total}' if fault.total >= fault.count else ''
        return f'[{fault.kind}] {fault.place}: {KINDS[fault.kind].says} ({fault.count}{of})'

    def notice(self, fault: Fault) -> str:
        """Say the same, with the first example."""
        return f'{self.short(fault)}, e.g. {fault.examples[0]}'

    def _lines(self, fault: Fault) -> list[str]:
        more = ', ...' if fault.count > len(fault.examples) else ''
        allowed = ' (allowed)' if fault.kind in self.allowed else ''
        return [
            f'{self.level(fault)}{allowed} {self.short(fault)}',
            f'    e.g. {"; ".join(fault.examples)}{more}',
            f'    remedy: {KINDS[fault.kind].remedy}',
        ]

    def as_json(self) -> list[dict]:
        """Return the same as data, for `--json`."""
        return [
            dict(
                level=self.level(fault),
                **vars(fault),
                says=KINDS[fault.kind].says,
                remedy=KINDS[fault.kind].remedy,
            )
            for fault in self.errors + self.warnings
        ]


def add_file_fault(fact: ImageFacts, folder: Path, total: int, faults: Faults) -> None:
    """Add the fault that makes an image file unusable."""
    name = fact.path.relative_to(folder) if fact.path.is_relative_to(folder) else fact.path
    detail = f' ({fact.detail})' if fact.detail else ''
    if fact.fault == 'missing-image' and faults.count('missing-image') < EXAMPLES:
        detail = elsewhere(str(name), folder) or near(fact.path)
    faults.add(fact.fault, folder, f'{name}{detail}', total=total)
