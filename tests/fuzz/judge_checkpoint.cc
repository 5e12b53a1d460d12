#include "tests/fuzz/judge_checkpoint.h"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "ckpt/audit.h"
#include "ckpt/convert.h"
#include "ckpt/serving.h"

namespace ckpt::fuzz {
namespace {

constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 20;

[[noreturn]] void Broken(const std::string& promise) {
  std::fprintf(stderr, "broken promise: %s\n", promise.c_str());
  std::abort();
}

// Streams of `size` bytes are read to the end; longer ones are not opened.
void ReadStream(const Result<std::unique_ptr<TensorStream>>& stream, std::uint64_t size,
                const std::string& name) {
  if (!stream) return ExpectInWords(stream.error());
  std::uint64_t read = 0;
  while (true) {
    const auto chunk = (*stream)->Next();
    if (!chunk) return ExpectInWords(chunk.error());
    if (chunk->empty()) break;
    read += chunk->size();
  }
  if (read != size)
    Broken(name + " has " + std::to_string(read) + " bytes of " + std::to_string(size));
}

void ReadTensors(const Checkpoint& checkpoint) {
  const Manifest& manifest = checkpoint.manifest();
  for (std::uint32_t i = 0; i < manifest.tensors.size(); ++i) {
    const TensorInfo& tensor = manifest.tensors[i];
    if (tensor.byte_size > kMaxBytes) continue;
    ReadStream(checkpoint.Open(TensorId{i}), tensor.byte_size, tensor.name);
  }
}

// The plan of a conversion, its tensors computed.
std::optional<ConversionPlan> Convert(const Checkpoint& checkpoint, const Analysis& analysis,
                                      const AuditResult& audit, bool leftover_affine) {
  ConvertOptions options;
  options.fold.fold = true;
  options.fold.leftover_affine = leftover_affine;
  options.allow_findings = true;
  auto plan = PlanConversion(checkpoint, analysis, audit, options);
  if (!plan) {
    ExpectInWords(plan.error());
    return std::nullopt;
  }
  for (std::size_t i = 0; i < plan->tensors.size(); ++i) {
    const TensorInfo& tensor = plan->tensors[i].info;
    if (tensor.byte_size > kMaxBytes) continue;
    ReadStream(OpenPlanned(checkpoint, *plan, i), tensor.byte_size, tensor.name);
  }
  return *std::move(plan);
}

void Serve(const Checkpoint& checkpoint) {
  const auto serving = MakeServingModel(checkpoint, {});
  if (!serving) return ExpectInWords(serving.error());
  const Analysis analysis = Analyse((*serving)->manifest());
  const AuditResult audit = Audit(**serving, analysis);
  auto plan = Convert(**serving, analysis, audit, true);
  if (!plan) return;
  if (const auto graph = (*serving)->Apply(*plan); !graph) ExpectInWords(graph.error());
}

}  // namespace

void ExpectInWords(const Error& error) {
  if (error.message.empty()) Broken("an error without words");
  if (error.code == ErrorCode::kInternal) Broken("internal error: " + error.message);
}

void JudgeCheckpoint(const Checkpoint& checkpoint, const formats::Format& format) {
  ReadTensors(checkpoint);
  const Analysis analysis = Analyse(checkpoint.manifest());
  AuditOptions options;
  options.all_data = true;
  const AuditResult audit = Audit(checkpoint, analysis, options);
  if (audit.error) ExpectInWords(*audit.error);
  for (const bool leftover_affine : {false, true}) {
    const auto plan = Convert(checkpoint, analysis, audit, leftover_affine);
    if (!plan || format.rewrite == nullptr) continue;
    const auto documents = format.rewrite(checkpoint.manifest(), plan->edits);
    if (!documents) ExpectInWords(documents.error());
  }
  if (checkpoint.manifest().ops) Serve(checkpoint);
}

}  // namespace ckpt::fuzz
