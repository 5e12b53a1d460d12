#include "formats/tf_graph/output_arguments.h"

#include <algorithm>
#include <array>

namespace ckpt::formats {
namespace {

struct Row {
  std::string_view op, outputs;  // separated by commas
};

constexpr std::array<Row, 98> kRows = {{
    // sorted by operation
    {"AnonymousIteratorV2", "handle,deleter"},
    {"AnonymousMemoryCache", "handle,deleter"},
    {"BatchNormWithGlobalNormalizationGrad", "dx,dm,dv,db,dg"},
    {"BlockLSTM", "i,cs,f,o,ci,co,h"},
    {"BlockLSTMV2", "i,cs,f,o,ci,co,h"},
    {"BroadcastGradientArgs", "r0,r1"},
    {"CTCLoss", "loss,gradient"},
    {"CTCLossV2", "loss,gradient"},
    {"CombinedNonMaxSuppression", "nmsed_boxes,nmsed_scores,nmsed_classes,valid_detections"},
    {"CudnnRNN", "output,output_h,output_c,reserve_space"},
    {"CudnnRNNV2", "output,output_h,output_c,reserve_space,host_reserved"},
    {"CudnnRNNV3", "output,output_h,output_c,reserve_space,host_reserved"},
    {"DecodeWav", "audio,sample_rate"},
    {"DenseToDenseSetOperation", "result_indices,result_values,result_shape"},
    {"DeserializeSparse", "sparse_indices,sparse_values,sparse_shape"},
    {"Eig", "e,v"},
    {"FakeQuantWithMinMaxVarsGradient", "backprops_wrt_input,backprop_wrt_min,backprop_wrt_max"},
    {"FakeQuantWithMinMaxVarsPerChannelGradient",
     "backprops_wrt_input,backprop_wrt_min,backprop_wrt_max"},
    {"FractionalAvgPool", "output,row_pooling_sequence,col_pooling_sequence"},
    {"FractionalMaxPool", "output,row_pooling_sequence,col_pooling_sequence"},
    {"FusedBatchNorm", "y,batch_mean,batch_variance,reserve_space_1,reserve_space_2"},
    {"FusedBatchNormGrad",
     "x_backprop,scale_backprop,offset_backprop,reserve_space_3,reserve_space_4"},
    {"FusedBatchNormGradV2",
     "x_backprop,scale_backprop,offset_backprop,reserve_space_3,reserve_space_4"},
    {"FusedBatchNormGradV3",
     "x_backprop,scale_backprop,offset_backprop,reserve_space_4,reserve_space_5"},
    {"FusedBatchNormV2", "y,batch_mean,batch_variance,reserve_space_1,reserve_space_2"},
    {"FusedBatchNormV3",
     "y,batch_mean,batch_variance,reserve_space_1,reserve_space_2,reserve_space_3"},
    {"GRUBlockCell", "r,u,c,h"},
    {"GenerateBoundingBoxProposals", "rois,roi_probabilities"},
    {"LSTMBlockCell", "i,cs,f,o,ci,co,h"},
    {"ListDiff", "out,idx"},
    {"LogMatrixDeterminant", "sign,log_abs_determinant"},
    {"LogUniformCandidateSampler", "sampled_candidates,true_expected_count,sampled_expected_count"},
    {"LookupTableExportV2", "keys,values"},
    {"Lu", "lu,p"},
    {"MaxPoolWithArgmax", "output,argmax"},
    {"Merge", "output,value_index"},
    {"NonMaxSuppressionV4", "selected_indices,valid_outputs"},
    {"NonMaxSuppressionV5", "selected_indices,selected_scores,valid_outputs"},
    {"Qr", "q,r"},
    {"QuantizeDownAndShrinkRange", "output,output_min,output_max"},
    {"QuantizeV2", "output,output_min,output_max"},
    {"QuantizedAdd", "z,min_z,max_z"},
    {"QuantizedAvgPool", "output,min_output,max_output"},
    {"QuantizedBatchNormWithGlobalNormalization", "result,result_min,result_max"},
    {"QuantizedBiasAdd", "output,min_out,max_out"},
    {"QuantizedConcat", "output,output_min,output_max"},
    {"QuantizedConv2D", "output,min_output,max_output"},
    {"QuantizedMatMul", "out,min_out,max_out"},
    {"QuantizedMaxPool", "output,min_output,max_output"},
    {"QuantizedMul", "z,min_z,max_z"},
    {"QuantizedRelu", "activations,min_activations,max_activations"},
    {"QuantizedRelu6", "activations,min_activations,max_activations"},
    {"QuantizedReshape", "output,output_min,output_max"},
    {"RaggedRange", "rt_nested_splits,rt_dense_values"},
    {"RaggedTensorToSparse", "sparse_indices,sparse_values,sparse_dense_shape"},
    {"ReaderReadUpToV2", "keys,values"},
    {"ReaderReadV2", "key,value"},
    {"RefMerge", "output,value_index"},
    {"RefSwitch", "output_false,output_true"},
    {"RequantizationRange", "output_min,output_max"},
    {"Requantize", "output,output_min,output_max"},
    {"SampleDistortedBoundingBox", "begin,size,bboxes"},
    {"SampleDistortedBoundingBoxV2", "begin,size,bboxes"},
    {"SelfAdjointEigV2", "e,v"},
    {"SoftmaxCrossEntropyWithLogits", "loss,backprop"},
    {"SparseAdd", "sum_indices,sum_values,sum_shape"},
    {"SparseConcat", "output_indices,output_values,output_shape"},
    {"SparseCross", "output_indices,output_values,output_shape"},
    {"SparseFillEmptyRows", "output_indices,output_values,empty_row_indicator,reverse_index_map"},
    {"SparseReorder", "output_indices,output_values"},
    {"SparseReshape", "output_indices,output_shape"},
    {"SparseSlice", "output_indices,output_values,output_shape"},
    {"SparseSoftmaxCrossEntropyWithLogits", "loss,backprop"},
    {"StatelessRandomGetKeyCounter", "key,counter"},
    {"StatelessRandomGetKeyCounterAlg", "key,counter,alg"},
    {"StatelessSampleDistortedBoundingBox", "begin,size,bboxes"},
    {"StringNGrams", "ngrams,ngrams_splits"},
    {"StringSplit", "indices,values,shape"},
    {"StringSplitV2", "indices,values,shape"},
    {"Svd", "s,u,v"},
    {"Switch", "output_false,output_true"},
    {"TakeManySparseFromTensorsMap", "sparse_indices,sparse_values,sparse_shape"},
    {"TensorArrayConcatV3", "value,lengths"},
    {"TensorArrayGradV3", "grad_handle,flow_out"},
    {"TensorArrayV3", "handle,flow"},
    {"TensorListConcat", "tensor,lengths"},
    {"TensorListConcatV2", "tensor,lengths"},
    {"TensorListPopBack", "output_handle,tensor"},
    {"TopK", "values,indices"},
    {"TopKV2", "values,indices"},
    {"UnicodeDecode", "row_splits,char_values"},
    {"UnicodeDecodeWithOffsets", "row_splits,char_values,char_to_byte_starts"},
    {"UniformCandidateSampler", "sampled_candidates,true_expected_count,sampled_expected_count"},
    {"Unique", "y,idx"},
    {"UniqueV2", "y,idx"},
    {"UniqueWithCounts", "y,idx,count"},
    {"UniqueWithCountsV2", "y,idx,count"},
    {"_FusedBatchNormEx",
     "y,batch_mean,batch_variance,reserve_space_1,reserve_space_2,reserve_space_3"},
}};

}  // namespace

std::optional<std::uint32_t> OutputArgument(std::string_view op, std::string_view name) noexcept {
  const auto* const row = std::lower_bound(
      kRows.begin(), kRows.end(), op, [](const Row& a, std::string_view b) { return a.op < b; });
  if (row == kRows.end() || row->op != op) return std::nullopt;
  std::string_view rest = row->outputs;
  for (std::uint32_t place = 0;; ++place) {
    const std::size_t comma = rest.find(',');
    if (rest.substr(0, comma) == name) return place;
    if (comma == std::string_view::npos) return std::nullopt;
    rest.remove_prefix(comma + 1);
  }
}

}  // namespace ckpt::formats
