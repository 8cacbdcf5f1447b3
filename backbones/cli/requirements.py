"""Importing this ends a tool with one line where packages that the tools need are missing."""

from backbones.errors import plain_errors
from backbones.openmmlab.extra import require_extra

with plain_errors():
    require_extra('this tool')
