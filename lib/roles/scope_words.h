// What the words of a name say, apart from any table of variables.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ckpt {

// The components of a name, which '/' or '.' separate.
std::vector<std::string_view> Components(std::string_view name);

// Decimal digits and nothing else, at least one.
bool IsNumber(std::string_view word) noexcept;

// A component without the number that makes it unique: "Adam_1" -> "Adam".
std::string_view WithoutNumber(std::string_view component) noexcept;

// The rule of docs/cli.md: a token of the scope is "bn", "batch_norm", "batchnorm",
// "BatchNorm" or "batch_normalization", with or without a number or another word beside it
// ("conv1_bn", "bn2a_branch1", "stemBN").
bool SaysBatchNorm(std::string_view scope);

// The last component of the scope names another normalisation: layer, group, instance, RMS...
bool SaysOtherNorm(std::string_view scope);

// The component names a normalisation, of whatever kind: "norm1", "input_norm".
bool SaysNorm(std::string_view component);

// The scope with each run of digits replaced by '#': layers of one naming share it.
std::string NamingPattern(std::string_view scope);

}  // namespace ckpt
