// Opens files of testdata by their content, as a user does.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/batch_norm.h"
#include "ckpt/formats/format.h"
#include "tests/support/paths.h"

namespace ckpt::formats {

// Null, and a failure of the test, where it cannot be opened.
inline std::unique_ptr<Checkpoint> OpenFixture(const std::string& name) {
  auto opened = OpenCheckpoint(ckpt::testing::TestData() + "/" + name);
  if (!opened) ADD_FAILURE() << ToString(opened.error());
  return opened ? *std::move(opened) : nullptr;
}

// The batch norm of that scope; a failure of the test where there is none.
inline BatchNorm BatchNormAt(const Analysis& analysis, std::string_view scope) {
  for (const BatchNorm& norm : analysis.batch_norms) {
    if (norm.scope == scope) return norm;
  }
  ADD_FAILURE() << "no batch norm " << scope;
  return {};
}

// The name of a tensor, "" for none.
inline std::string NameOf(const Manifest& manifest, const std::optional<TensorId>& id) {
  return id ? manifest.tensors[id->index].name : std::string();
}

}  // namespace ckpt::formats
