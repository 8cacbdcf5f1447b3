"""When imported, end a tool with one line if packages that it needs are missing."""

from backbones.errors import plain_errors
from backbones.openmmlab.extra import require_extra

with plain_errors():
    require_extra('this tool')
