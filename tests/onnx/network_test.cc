// What an ONNX model computes: shapes against those that onnx.reference found by running the model
// (testdata/generators/onnx_networks.py), and coverage.
#include "ckpt/network/network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <set>

#include "ckpt/formats/format.h"
#include "ckpt/network/operation_table.h"
#include "tests/onnx/model_builder.h"
#include "tests/support/paths.h"

namespace ckpt::testing::network_test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

Result<network::Network> NetworkOf(const std::string& path) {
  const auto opened = formats::OpenCheckpoint(path);
  if (!opened) return Fail(opened);
  return (*opened)->MakeNetwork();
}

// Those that an output depends on.
std::vector<std::string> UnknownsOf(const network::Network& network) {
  std::vector<std::string> unknowns;
  std::set<std::uint32_t> seen;
  std::vector<network::ValueId> left;
  for (const auto& output : network.outputs) left.push_back(output.value);
  while (!left.empty()) {
    const network::ValueId id = left.back();
    left.pop_back();
    if (id == network::kNoValue || !network.value(id).producer) continue;
    const network::OperationId producer = *network.value(id).producer;
    if (!seen.insert(producer.index).second) continue;
    const network::Operation& operation = network.operation(producer);
    if (const auto* unknown = std::get_if<network::Unknown>(&operation.computation)) {
      unknowns.push_back(network.layers[operation.layer].name + ": " + unknown->what + ": " +
                         unknown->why);
    }
    left.insert(left.end(), operation.operands.begin(), operation.operands.end());
  }
  std::sort(unknowns.begin(), unknowns.end());
  return unknowns;
}

std::vector<std::string> OnnxFilesIn(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() == ".onnx") files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// A list of files, in the form that the coverage table has.
void PrintCoverage(const std::vector<std::string>& files) {
  for (const std::string& file : files) {
    const auto network = NetworkOf(file);
    if (!network) {
      std::cout << file << "\tERROR " << ToString(network.error()) << "\n";
      continue;
    }
    const auto unknowns = UnknownsOf(*network);
    std::size_t shapeless = 0;
    for (const auto& operation : network->operations) {
      for (const auto id : operation.results) shapeless += !network->value(id).shape ? 1 : 0;
    }
    std::cout << file << "\t" << network->operations.size() << " operations\t" << unknowns.size()
              << " unknown\t" << shapeless << " without rank\n";
    for (const std::string& unknown : unknowns) std::cout << "    " << unknown << "\n";
  }
}

// Outputs whose rank is not known until the network runs, or whose shape is another.
std::vector<std::string> ShapesThatDiffer(const std::string& path) {
  std::vector<std::string> faults;
  const auto network = NetworkOf(path);
  const auto recorded = formats::OpenCheckpoint(path.substr(0, path.size() - 4) + "npz");
  if (!network) return {ToString(network.error())};
  if (!recorded) return {ToString(recorded.error())};
  for (const auto& output : network->outputs) {
    const auto id = FindTensor((*recorded)->manifest(), "out_" + output.name);
    if (!id) return {"no recorded " + output.name};
    const auto dims = (*recorded)->manifest().tensors[id->index].shape.dims();
    const network::PartialShape& found = network->value(output.value).shape;
    if (!found || !std::equal(found->begin(), found->end(), dims.begin(), dims.end())) {
      faults.push_back(
          output.name + ": " + (found ? ::testing::PrintToString(*found) : "none") + ", recorded " +
          ::testing::PrintToString(std::vector<std::int64_t>(dims.begin(), dims.end())));
    }
  }
  return faults;
}

TEST(OnnxNetwork, ShapesOfEveryOperatorAreThoseOfItsComputedValues) {
  const auto files = OnnxFilesIn(ckpt::testing::TestData() + "/onnx_networks");
  EXPECT_GT(files.size(), 40U);
  for (const std::string& file : files) EXPECT_THAT(ShapesThatDiffer(file), IsEmpty()) << file;
}

TEST(OnnxNetwork, AllOfTheseModelsAreUnderstood) {
  for (const char* folder : {"/onnx", "/onnx_networks", "/exported_graphs"}) {
    for (const std::string& file : OnnxFilesIn(ckpt::testing::TestData() + folder)) {
      const auto network = NetworkOf(file);
      ASSERT_TRUE(network) << ToString(network.error());
      EXPECT_THAT(UnknownsOf(*network), IsEmpty()) << file;
    }
  }
}

TEST(OnnxNetwork, DISABLED_PrintsTheCoverageOfFolders) {
  for (const char* variable : {"CKPT_COVERAGE"}) {
    if (const char* folder = std::getenv(variable)) PrintCoverage(OnnxFilesIn(folder));
  }
}

}  // namespace
}  // namespace ckpt::testing::network_test
