"""Run one of the tools from anywhere: python -m backbones train CONFIG [options]."""

import runpy
import sys

from backbones.commands.shipped import tool_file
from backbones.errors import plain_errors


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1].startswith('-'):
        sys.exit('usage: python -m backbones TOOL [options], e.g. train, test, quickstart')
    with plain_errors():
        path = tool_file(sys.argv[1])
    sys.argv = [path, *sys.argv[2:]]
    runpy.run_path(path, run_name='__main__')


main()
