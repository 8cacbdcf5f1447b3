# Everything that the tools need: make docker, or docker build --tag dense-backbones .
#
# For GPUs choose a base with CUDA and pass the GPUs on; PyTorch brings its own CUDA libraries, so the
# default also works with the NVIDIA container toolkit:
#   make docker BASE=nvidia/cuda:13.0.2-base-ubuntu24.04
#   docker run --gpus all --shm-size 8g -v $PWD:/work dense-backbones train CONFIG
# --shm-size is for the workers that load images.
ARG BASE=python:3.11-slim
FROM ${BASE}

# OpenCV needs libGL and GLib; a base without Python gets its own (Ubuntu 24.04: Python 3.12)
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && { command -v python3 || apt-get install -y --no-install-recommends python3 python3-venv; } \
    && rm -rf /var/lib/apt/lists/*

RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH

COPY . /tmp/dense-backbones
RUN cd /tmp/dense-backbones \
    && pip install --no-cache-dir -c constraints.txt '.[export]' \
    && rm -rf /tmp/dense-backbones

WORKDIR /work
ENTRYPOINT ["python", "-m", "backbones"]
CMD ["--help"]
