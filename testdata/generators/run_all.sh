#!/bin/sh
# Makes all of testdata/ anew.
#
#   run_all.sh TF215_PYTHON KERAS3_PYTHON TORCH_PYTHON FLAX_PYTHON CHAINER_PYTHON MXNET_PYTHON TF213_PYTHON TF214_PYTHON TORCH_ONNX_PYTHON
#
# Each interpreter has the packages of the requirements file of that name.
# Run `sha256sum -c SHA256SUMS` in testdata/ to compare; README.md names the files that differ from run to run.
set -eu

if [ $# -ne 9 ]; then
  echo "usage: $0 TF215_PYTHON KERAS3_PYTHON TORCH_PYTHON FLAX_PYTHON CHAINER_PYTHON MXNET_PYTHON TF213_PYTHON TF214_PYTHON TORCH_ONNX_PYTHON" >&2
  exit 2
fi
tf215=$1
keras3=$2
torch=$3
flax=$4
chainer=$5
mxnet=$6
tf213=$7
tf214=$8
torch_onnx=$9
cd "$(dirname "$0")"
export PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0 CUDA_VISIBLE_DEVICES=

folders="tf1 tf tf2 keras_h5 keras_h5_variants keras_configs keras3 hdf5 bad_values safetensors npz onnx onnx_networks onnx_scopes torch torch_modules execution malformed/keras_h5 malformed/hdf5 malformed/npz"
folders="$folders flax chainer darknet caffe mxnet mxnet_real tfjs across tf_graphs tf_operations keras_old exported_graphs keras_training keras_networks drift small_floats"
for folder in $folders; do
  rm -rf "../$folder"
done

for script in tf1_resnet tf1_mnist tf1_calibration tf1_hand_written tf1_graph_evidence tf_bundles tf1_slim tf1_cases rewrite_bundle tf_v1 tf2_object \
              keras2_models keras2_bad_values h5_variants hdf5_cases across_keras keras2_drift; do
  "$tf215" "$script.py"
done
for python in "$tf215" "$keras3"; do
  "$python" keras_configs.py
  "$python" keras3_archives.py
  "$python" keras_training_facts.py
  "$python" keras_networks.py
done
"$tf213" keras_old_archives.py
"$tf214" keras_old_archives.py
"$tf215" tf_graphs.py tf2.15
"$keras3" tf_graphs.py tf2.21
"$tf215" tf_operations.py
for script in keras3_legacy_h5 bad_values_flat safetensors_files npz_files small_floats onnx_models onnx_networks onnx_scopes; do
  "$keras3" "$script.py"
done
"$torch" torch_files.py
"$torch_onnx" exported_graphs.py
"$torch_onnx" execution_kernels.py
"$torch" torch_modules.py
JAX_PLATFORMS=cpu "$flax" flax_files.py
"$chainer" chainer_files.py
"$keras3" made_files.py
"$mxnet" mxnet_files.py

"$torch" across_torch.py

cd ..
find $folders -type f | LC_ALL=C sort | xargs sha256sum > SHA256SUMS
