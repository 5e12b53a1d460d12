// The classes in TorchScript's source text, as far as they say plain facts: constants, the names of
// parameters and buffers, operators called with literals. The text is never run.
//
//   class BatchNorm2d(Module):
//     __parameters__ = ["weight", "bias", ]
//     __buffers__ = ["running_mean", "running_var", "num_batches_tracked", ]
//     weight : Tensor
//     eps : Final[float] = 0.001
//     def forward(self: __torch__.torch.nn.modules.batchnorm.BatchNorm2d,
//       argument_1: Tensor) -> Tensor:
//       _1 = torch.batch_norm(argument_1, weight, bias, mean, var, True, 0.1, 0.001, True)
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/recorded_module.h"

namespace ckpt::formats {

struct ScriptClass {
  // `eps : Final[float] = 0.001`
  std::map<std::string, RecordedValue, std::less<>> constants;
  std::set<std::string, std::less<>> parameters, buffers;
  std::vector<RecordedCall> calls;  // of torch.*, those with a literal among their arguments
};

using ScriptClasses = std::map<std::string, ScriptClass, std::less<>>;
// By the name behind "class". What is not understood is passed over. Takes time and memory in
// proportion to `source`.
ScriptClasses ReadScriptClasses(std::string_view source);

// True, 0.5, -3, None, "text", [1, 2], (3, 3); nullopt for anything else.
std::optional<RecordedValue> ParseScriptLiteral(std::string_view text);

}  // namespace ckpt::formats
