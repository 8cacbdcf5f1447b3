"""Run one of the tools from anywhere: python -m backbones train CONFIG [options]."""

import runpy
import sys

from backbones.commands.shipped import tool_file


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1].startswith('-'):
        sys.exit('usage: python -m backbones TOOL [options], e.g. train, test, quickstart')
    try:
        path = tool_file(sys.argv[1])
    except FileNotFoundError as error:
        sys.exit(f'error: {error}')
    sys.argv = [path, *sys.argv[2:]]
    runpy.run_path(path, run_name='__main__')


main()
