"""The command `dense-backbones TOOL [options]`, also `python -m backbones TOOL [options]`.

`list` is short for `list-backbones`. TOOL may also be the path of a Python script. It runs with
this package imported first, so that OpenMMLab's own tools find mmcv's operators.
"""

import ast
import runpy
import sys
from pathlib import Path

from backbones import __version__
from backbones.errors import plain_errors
from backbones.package_files import tool_file, tools

SHORT = {'list': 'list-backbones'}


def main() -> None:
    asked = sys.argv[1] if len(sys.argv) > 1 else '--help'
    if asked in ('-h', '--help'):
        print(usage())
        sys.exit(0 if len(sys.argv) > 1 else 2)
    if asked == '--version':
        print(f'dense-backbones {__version__}')
        return
    path = asked
    if not (path.endswith('.py') and Path(path).is_file()):
        with plain_errors():
            path = tool_file(SHORT.get(path, path))
    sys.argv = [path, *sys.argv[2:]]
    runpy.run_path(path, run_name='__main__')


def usage() -> str:
    """List the tools, each with the first sentence of its docstring."""
    lines = ['usage: dense-backbones TOOL [options]; TOOL --help lists the options', '']
    for path in tools():
        said = (ast.get_docstring(ast.parse(path.read_text())) or '').partition('\n')[0]
        lines.append(f'  {path.stem.replace("_", "-"):<17} {said.removesuffix(".")}')
    return '\n'.join(lines)


if __name__ == '__main__':
    main()
