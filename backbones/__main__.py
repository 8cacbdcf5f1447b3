"""Run one of the tools from anywhere: python -m backbones train CONFIG [options].

Given the path of a program instead, it runs that, with this package imported first: OpenMMLab's own
tools then find mmcv's operators.
"""

import runpy
import sys
from pathlib import Path

from backbones.errors import plain_errors
from backbones.package_files import tool_file


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1].startswith('-'):
        sys.exit('usage: python -m backbones TOOL [options], e.g. train, test, quickstart')
    path = sys.argv[1]
    if not (path.endswith('.py') and Path(path).is_file()):
        with plain_errors():
            path = tool_file(path)
    sys.argv = [path, *sys.argv[2:]]
    runpy.run_path(path, run_name='__main__')


main()
