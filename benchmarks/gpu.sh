#!/bin/sh
# Everything that a GPU has to show, in one command and one JSON: sh benchmarks/gpu.sh [--out gpu.json]
set -eu
cd "$(dirname "$0")/.."
exec "${PYTHON:-python}" -m benchmarks.gpu "$@"
