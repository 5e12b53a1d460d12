#include "fold/kernel_layout.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "fold/channel_view.h"
#include "fold/reason.h"
#include "roles/scope_words.h"

namespace ckpt {
namespace {

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) {
    return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  });
  return lower;
}

// The words of a component, lower case: "upConv_2" -> "up", "conv".
std::vector<std::string> WordsOf(std::string_view component) {
  std::vector<std::string> words(1);
  for (std::size_t i = 0; i < component.size(); ++i) {
    const auto c = static_cast<unsigned char>(component[i]);
    const bool begins = std::isupper(c) != 0 && i > 0 &&
                        std::islower(static_cast<unsigned char>(component[i - 1])) != 0;
    if (std::isalpha(c) == 0 || begins) words.emplace_back();
    if (std::isalpha(c) != 0) words.back() += static_cast<char>(std::tolower(c));
  }
  std::erase(words, "");
  return words;
}

// The words of the layer's own name; of a numbered layer those of the sequence that it stands in.
bool HintsAtTransposed(const std::string& scope) {
  constexpr std::array<std::string_view, 16> kWords = {
      "up",    "ups",   "upsample", "upsampling", "upsampler", "upscale", "upscaling", "unpool",
      "tconv", "convt", "trans",    "ct",         "decoder",   "decode",  "dec",       "generator"};
  std::vector<std::string_view> components = Components(scope);
  while (components.size() > 1 && PlaceInSequence(components.back())) components.pop_back();
  const std::vector<std::string> words = WordsOf(components.back());
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (std::find(kWords.begin(), kWords.end(), words[i]) != kWords.end()) return true;
    if (words[i] == "de" && i + 1 < words.size() && words[i + 1].starts_with("conv")) return true;
  }
  return false;
}

// The axes that hold channels, and the others.
struct Axes {
  std::uint64_t out, in;
  bool even;  // all spatial sizes are even
};
std::optional<Axes> AxesOf(const Shape& shape, KernelLayout plain) {
  const std::size_t rank = shape.rank();
  if (rank < 3) return std::nullopt;  // no convolution
  const bool spatial_first = plain == KernelLayout::kSpatialInOut;
  if (!spatial_first && plain != KernelLayout::kOutInSpatial) return std::nullopt;
  const std::size_t out = spatial_first ? rank - 1 : 0, in = spatial_first ? rank - 2 : 1;
  Axes axes{static_cast<std::uint64_t>(shape[out]), static_cast<std::uint64_t>(shape[in]), true};
  for (std::size_t i = 0; i < rank; ++i) {
    if (i != out && i != in && shape[i] % 2 != 0) axes.even = false;
  }
  return axes;
}

KernelLayout TransposedOf(KernelLayout plain) {
  return plain == KernelLayout::kSpatialInOut ? KernelLayout::kSpatialOutIn
                                              : KernelLayout::kInOutSpatial;
}

// Could these be the axes of a transposed convolution with so many out channels, whose elements
// would then belong to other channels?
bool MayBeTransposed(const Axes& axes, KernelLayout plain, std::uint64_t channels) {
  if (axes.in == channels) return true;
  // [I, O/G, K...]: grouped. With O/G = 1 and I = O both readings are the same.
  if (plain != KernelLayout::kOutInSpatial || axes.in <= 1 || channels % axes.in != 0) return false;
  return axes.out % (channels / axes.in) == 0;
}

// "torch.nn.modules.conv.Conv2d" -> "Conv2d"; empty for a class of another module. TorchScript's
// names have more words before and between.
std::string_view TorchClass(std::string_view name, std::string_view module) {
  const std::size_t at = name.find(module);
  if (at == std::string_view::npos) return {};
  return name.substr(name.rfind('.') + 1);
}

}  // namespace

bool SaysTransposed(std::string_view name) {
  const std::string lower = Lower(name);
  constexpr std::array<std::string_view, 4> kWords = {"transpose", "deconv", "upconv", "convt"};
  return std::any_of(kWords.begin(), kWords.end(),
                     [&](std::string_view word) { return lower.find(word) != std::string::npos; });
}

Result<KernelLayout> ConventionalLayout(const Manifest& manifest,
                                        std::optional<Framework> framework, TensorId kernel) {
  const TensorInfo& info = manifest.tensors[kernel.index];
  if (info.shape.rank() > 2 && SaysTransposed(info.name)) {
    return Refuse("the name of " + Quoted(info.name) + " speaks of a transposed convolution",
                  Remedy::kGivePairLayout);
  }
  if (!framework) {
    return Refuse("the layout of " + Quoted(info.name) +
                      " is not known: nothing says which framework wrote the file",
                  Remedy::kGivePairLayout);
  }
  switch (*framework) {
    case Framework::kTensorFlow:
    case Framework::kKeras:
      return SplitName(info.name).leaf.starts_with("depthwise_")
                 ? KernelLayout::kSpatialInMultiplier
                 : KernelLayout::kSpatialInOut;
    case Framework::kFlax:
      return KernelLayout::kSpatialInOut;
    case Framework::kPyTorch:
    case Framework::kCaffe:
    case Framework::kDarknet:
    case Framework::kMxNet:
    case Framework::kChainer:
      return KernelLayout::kOutInSpatial;
  }
  return Refuse("the layout of " + Quoted(info.name) + " is not known");
}

Result<std::optional<FoundLayout>> KernelLayouts::Recorded(TensorId kernel) const {
  const std::string& name = layers_.manifest().tensors[kernel.index].name;
  const RecordedModule* const module = layers_.Recorded(SplitName(name).parent);
  if (module == nullptr || module->class_name.empty()) return std::optional<FoundLayout>();
  std::string_view word = TorchClass(module->class_name, "torch.nn.modules.conv.");
  if (word.empty()) word = TorchClass(module->class_name, "torch.nn.modules.linear.");
  const bool transposed = word.starts_with("ConvTranspose");
  if (!transposed && !word.starts_with("Conv") && word != "Linear") {
    return Refuse(Quoted(name) + " belongs to a " + module->class_name +
                  ", and nothing records what that class does with its kernel");
  }
  FoundLayout found{transposed ? KernelLayout::kInOutSpatial : KernelLayout::kOutInSpatial,
                    1,
                    {EvidenceSource::kFrameworkRecord, std::string(Name(module->record)) + ": " +
                                                           Quoted(module->scope) + " is a " +
                                                           module->class_name}};
  const RecordedValue* const groups = module->Attribute("groups");
  if (transposed) {
    const auto count = groups == nullptr ? std::nullopt : AsNumber(*groups);
    if (!count || *count < 1 || *count > 1e6) {
      return Refuse("the groups of the transposed convolution " + Quoted(module->scope) +
                    " are not recorded");
    }
    found.groups = static_cast<std::int64_t>(*count);
  }
  return std::optional<FoundLayout>(std::move(found));
}

Status KernelLayouts::CheckTransposed(TensorId kernel, KernelLayout plain,
                                      std::uint64_t channels) const {
  const TensorInfo& info = layers_.manifest().tensors[kernel.index];
  const auto axes = AxesOf(info.shape, plain);
  if (!axes || !MayBeTransposed(*axes, plain, channels)) return {};
  const std::string layout(Name(TransposedOf(plain)));
  const std::string may = Quoted(info.name) + " of shape " + ToString(info.shape) +
                          " may as well be the kernel of a transposed convolution (layout " +
                          layout + "): ";
  constexpr Remedy kRemedy = Remedy::kGivePairLayout;
  if (axes->out != channels) {
    return Refuse(may + "its " + std::to_string(channels) + " channels fit only so", kRemedy);
  }
  if (HintsAtTransposed(SplitName(info.name).parent)) {
    return Refuse(may + "its name hints at one", kRemedy);
  }
  if (axes->even) return Refuse(may + "its size is even, as theirs are", kRemedy);
  if (transposed_) {
    return Refuse(may + "the file has such, " +
                      Quoted(layers_.manifest().tensors[transposed_->index].name) + " for one",
                  kRemedy);
  }
  return {};
}

Result<FoundLayout> KernelLayouts::OfReader(TensorId kernel) const {
  CKPT_ASSIGN_OR_RETURN(std::optional<FoundLayout> recorded, Recorded(kernel));
  if (recorded) return *std::move(recorded);
  FoundLayout found;
  CKPT_ASSIGN_OR_RETURN(found.layout, ConventionalLayout(layers_.manifest(), framework_, kernel));
  found.evidence = {EvidenceSource::kNaming, "layout " + std::string(Name(found.layout)) +
                                                 ", the convention of " +
                                                 std::string(Name(*framework_))};
  return found;
}

Result<FoundLayout> KernelLayouts::Of(TensorId kernel, std::uint64_t channels) const {
  CKPT_ASSIGN_OR_RETURN(FoundLayout found, OfReader(kernel));
  if (found.evidence.source == EvidenceSource::kNaming) {
    CKPT_RETURN_IF_ERROR(CheckTransposed(kernel, found.layout, channels));
  }
  const TensorInfo& info = layers_.manifest().tensors[kernel.index];
  CKPT_ASSIGN_OR_RETURN(const KernelViews views, ViewsOf(info.shape, found.layout, found.groups));
  if (views.out_channels == channels) return found;
  return Refuse(Quoted(info.name) + " in layout " + std::string(Name(found.layout)) + " has " +
                std::to_string(views.out_channels) + " out channels, and the batch norm has " +
                std::to_string(channels));
}

std::uint64_t KernelLayouts::OutChannels(TensorId kernel) const {
  const auto found = OfReader(kernel);
  if (!found) return 0;
  const auto views =
      ViewsOf(layers_.manifest().tensors[kernel.index].shape, found->layout, found->groups);
  return views ? views->out_channels : 0;
}

bool KernelLayouts::FitsOnlyTransposed(TensorId kernel, std::uint64_t channels) const {
  const auto recorded = Recorded(kernel);
  if (!recorded || *recorded) return false;
  const auto plain = ConventionalLayout(layers_.manifest(), framework_, kernel);
  if (!plain) return false;
  const auto axes = AxesOf(layers_.manifest().tensors[kernel.index].shape, *plain);
  return axes && axes->out != channels && axes->in == channels;
}

}  // namespace ckpt
