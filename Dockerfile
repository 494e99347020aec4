# The page on a CPU:  docker build -t forkscope . && docker run -p 7860:7860 forkscope
#
# pip's own choice of torch for Linux carries the CUDA libraries, several GB that a CPU never uses.
# The small build comes from PyTorch's CPU wheel index, which pip takes as a build argument:
#   docker build --build-arg PIP_EXTRA_INDEX_URL=<the CPU index of pytorch.org> -t forkscope .
FROM python:3.11-slim

ARG PIP_EXTRA_INDEX_URL=
ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    GRADIO_ANALYTICS_ENABLED=False \
    HF_HOME=/home/user/.cache/huggingface

RUN useradd --create-home --uid 1000 user
WORKDIR /home/user/forkscope
COPY requirements.txt .
RUN pip install -r requirements.txt
COPY --chown=user . .
USER user

EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:7860/', timeout=4)"]
CMD ["python", "-m", "explorer", "app", "--host", "0.0.0.0", "--port", "7860"]
