#!/bin/sh
# Makes all of testdata/ anew.
#
#   run_all.sh TF215_PYTHON KERAS3_PYTHON TORCH_PYTHON
#
# The interpreters have the packages of requirements-tf2.15.txt, requirements-keras3.txt and requirements-torch.txt.
# Run `sha256sum -c SHA256SUMS` in testdata/ to compare; README.md names the files that differ from run to run.
set -eu

if [ $# -ne 3 ]; then
  echo "usage: $0 TF215_PYTHON KERAS3_PYTHON TORCH_PYTHON" >&2
  exit 2
fi
tf215=$1
keras3=$2
torch=$3
cd "$(dirname "$0")"
export PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0 CUDA_VISIBLE_DEVICES=

folders="tf1 tf tf2 keras_h5 keras_h5_variants keras_configs hdf5 bad_values safetensors npz onnx torch malformed/keras_h5 malformed/hdf5 malformed/npz"
for folder in $folders; do
  rm -rf "../$folder"
done

for script in tf1_resnet tf1_mnist tf_bundles tf1_slim tf1_cases rewrite_bundle tf_v1 tf2_object \
              keras2_models keras2_bad_values h5_variants hdf5_cases; do
  "$tf215" "$script.py"
done
for python in "$tf215" "$keras3"; do
  "$python" keras_configs.py
done
for script in keras3_legacy_h5 bad_values_flat safetensors_files npz_files onnx_models; do
  "$keras3" "$script.py"
done
"$torch" torch_files.py

cd ..
find $folders -type f | LC_ALL=C sort | xargs sha256sum > SHA256SUMS
