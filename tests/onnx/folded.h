// Folds an ONNX model, writes it, and opens what was written.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ckpt/convert.h"
#include "tests/onnx/model_builder.h"
#include "tests/support/committed.h"
#include "tests/support/temporary_folder.h"

namespace ckpt::testing {

class Folded {
 public:
  explicit Folded(const std::string& path, bool leftover_affine = false)
      : Folded(path, FoldWith(leftover_affine)) {}
  explicit Folded(const Checkpoint& source, bool leftover_affine = false)
      : Folded(source, FoldWith(leftover_affine)) {}
  Folded(const std::string& path, const ConvertOptions& options) {
    auto source = formats::OpenCheckpoint(path);
    EXPECT_TRUE(source) << ToString(source.error());
    if (source) Convert(**source, options);
  }
  Folded(const Checkpoint& source, const ConvertOptions& options) { Convert(source, options); }

  const ConversionPlan& plan() const { return plan_; }
  const Checkpoint& written() const { return *written_; }
  const onnx_proto::ModelProto& model() const { return model_; }
  const TemporaryFolder& folder() const { return folder_; }
  // "" where it was written.
  const std::string& refusal() const { return refusal_; }
  Remedy remedy() const { return remedy_; }

  std::vector<std::string> Operators() const {
    std::vector<std::string> types;
    for (const auto& node : model_.graph().node()) types.push_back(node.op_type());
    return types;
  }
  std::string ReasonOf(const std::string& scope) const {
    for (const Kept& kept : plan_.kept) {
      if (kept.batch_norm == scope) return kept.reason;
    }
    return "(folded)";
  }

 private:
  static ConvertOptions FoldWith(bool leftover_affine) {
    ConvertOptions options;
    options.fold.fold = true;
    options.fold.leftover_affine = leftover_affine;
    return options;
  }

  void Convert(const Checkpoint& source, const ConvertOptions& options) {
    const Analysis analysis = Analyse(source.manifest());
    const AuditResult audit = Audit(source, analysis);
    auto plan = PlanConversion(source, analysis, audit, options);
    if (!plan) {
      refusal_ = ToString(plan.error());
      remedy_ = plan.error().remedy;
      return;
    }
    plan_ = *std::move(plan);
    formats::OutputModel output;
    for (const FoldedTensor& tensor : plan_.tensors) output.tensors.push_back(tensor.info);
    output.open = [&](std::size_t i) { return OpenPlanned(source, plan_, i); };
    auto documents = formats::RewriteOnnx(source.manifest(), plan_.edits);
    if (documents) output.documents = *std::move(documents);
    const auto written =
        documents ? ckpt::testing::Committed(formats::WriteOnnx, folder_ / "out.onnx", output, {})
                  : Result<formats::WriteSummary>(Fail(documents));
    if (!written) {
      refusal_ = ToString(written.error());
      return;
    }
    auto reopened = formats::OpenCheckpoint((folder_ / "out.onnx").string());
    ASSERT_TRUE(reopened) << ToString(reopened.error());
    written_ = *std::move(reopened);
    ASSERT_TRUE(model_.ParseFromString(folder_.Read("out.onnx")));
  }

  TemporaryFolder folder_;
  ConversionPlan plan_;
  std::unique_ptr<Checkpoint> written_;
  onnx_proto::ModelProto model_;
  std::string refusal_;
  Remedy remedy_ = Remedy::kNone;
};

}  // namespace ckpt::testing
