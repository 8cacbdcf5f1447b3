#!/usr/bin/env bash
# Build mmcv with compiled operators outside the clone and the environment; takes about 20 CPU-minutes.
# Training and testing this project's models do not need it: see backbones/openmmlab/mmcv_ops.
# Prints the folder to add to PYTHONPATH (stdout) and how to install the wheel permanently (stderr).
#   PYTHON        the interpreter that has torch; default .venv/bin/python
#   MMCV_WHEELS   folder of the wheel; default ~/.cache/dense-backbones/wheels/cpXY-torchVERSION
#   MAX_JOBS      parallel compilers; default: all cores (each takes about 1.5 GB)
#   FORCE_CUDA=1  compile the CUDA operators even if no GPU is visible
set -euo pipefail
requirement=onedl-mmcv==2.3.6
build_requirements=('setuptools>=80,<82' wheel packaging ninja psutil)

say() { echo "build_mmcv.sh: $*" >&2; }
die() { say "$*"; exit 1; }

root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
command -v "$python" >/dev/null || die "no Python at $python: run make install, or set PYTHON"
tags=$("$python" -c 'import sys, torch
print("cp%d%d %s" % (*sys.version_info[:2], torch.__version__.split("+")[0]))') ||
    die "$python has no torch: run make install, or set PYTHON"
read -r cp torch <<<"$tags"
folder=${MMCV_WHEELS:-${XDG_CACHE_HOME:-$HOME/.cache}/dense-backbones/wheels/$cp-torch$torch}
mkdir -p "$folder"
find_wheel() { find "$1" -maxdepth 1 -name "onedl_mmcv-*-$cp-*.whl" -print -quit; }

# built in here and moved at the end, so that an interrupted build leaves nothing incomplete
partial=$(mktemp -d "$folder/.partial.XXXXXX")
trap 'rm -rf "$partial"' EXIT

wheel=$(find_wheel "$folder")
if [ -z "$wheel" ]; then
    compiler=${CXX:-g++}
    command -v "${compiler%% *}" >/dev/null || die "no C++ compiler ($compiler): install g++ 9 or newer," \
        'or set CXX. Compiled operators are optional: without them torchvision stands in.'
    headers=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    [ -e "$headers/Python.h" ] || die "no $headers/Python.h: install the headers of this Python" \
        "(on Debian: python3-dev)"
    say "building $requirement for $cp, torch $torch, in $folder; about 20 CPU-minutes"
    "$python" -m pip install --quiet --target "$partial/requirements" "${build_requirements[@]}" >&2
    # without pip's cache, which may hold a wheel without operators or for another torch
    PYTHONPATH=$partial/requirements PATH=$partial/requirements/bin:$PATH \
        MAX_JOBS=${MAX_JOBS:-$(nproc)} CFLAGS='-g0 -O2' CXXFLAGS='-g0 -O2' \
        "$python" -m pip wheel --no-build-isolation --no-cache-dir --no-deps --no-binary onedl-mmcv \
        --wheel-dir "$partial" "$requirement" >&2
    built=$(find_wheel "$partial")
    [ -n "$built" ] || die "pip built a wheel without operators: $(cd "$partial" && echo *.whl)"
    mv "$built" "$folder"
    wheel=$(find_wheel "$folder")
fi

site=$folder/site
if [ ! -d "$site" ]; then
    "$python" -m pip install --quiet --no-deps --no-cache-dir --target "$partial/site" "$wheel" >&2
    PYTHONPATH=$partial/site "$python" -c 'import torch, mmcv._ext' ||
        die "the operators in $wheel cannot be loaded: remove it and run this script again"
    mv "$partial/site" "$site"
fi

say "to use it without installing it: export PYTHONPATH=$site"
say "to install it permanently: $python -m pip install --no-deps --no-cache-dir --force-reinstall $wheel"
echo "$site"
