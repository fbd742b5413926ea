# An image with cxrgan alone; what it reads and makes is in the volume /data.
#
#     docker build --tag cxrgan .
#     docker run --rm --volume "$PWD:/data" --user "$(id -u):$(id -g)" cxrgan generate cxr-64 --num 64 --out images
#
# PyPI's torch for Linux brings the CUDA libraries, some gigabytes. A small image for CPUs takes torch from the index of
# CPU builds that PyTorch's installation page names: `docker build --build-arg PIP_EXTRA_INDEX_URL=URL --tag cxrgan .`
FROM python:3.12-slim AS build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN python -m venv /opt/cxrgan && /opt/cxrgan/bin/pip install --no-cache-dir .

FROM python:3.12-slim
COPY --from=build /opt/cxrgan /opt/cxrgan
RUN useradd --no-create-home --home-dir /data cxrgan && install --directory --owner=cxrgan /data
# caches are kept with the data, whoever runs it
ENV PATH=/opt/cxrgan/bin:$PATH HOME=/data
USER cxrgan
WORKDIR /data
VOLUME /data
ENTRYPOINT ["cxrgan"]
CMD ["--help"]
