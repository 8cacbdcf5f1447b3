"""When imported, end a tool with one line if packages that exported files need are missing."""

from backbones.errors import plain_errors
from backbones.openmmlab.extra import require_runtime

with plain_errors():
    require_runtime('this tool')
