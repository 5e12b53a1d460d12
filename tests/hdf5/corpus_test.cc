// Public Keras files, against what h5py reads of them: counts, and one CRC-32 over the path and the
// bytes of every dataset, in the order of the paths.
#include <gtest/gtest.h>

#include "tests/hdf5/hdf5_support.h"
#include "tests/support/paths.h"

namespace ckpt::formats::corpus_test {
namespace {

struct CorpusFile {
  const char* path;
  std::size_t datasets, groups, attributes;
  std::uint32_t crc;
};
void PrintTo(const CorpusFile& file, std::ostream* out) { *out << file.path; }

class Corpus : public ::testing::TestWithParam<CorpusFile> {};

TEST_P(Corpus, ReadsAsH5pyReadsIt) {
  const auto path = std::filesystem::path(ckpt::testing::Corpus()) / GetParam().path;
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is absent";
  const auto file = ckpt::testing::OpenHdf5(path);
  ASSERT_TRUE(file) << ToString(file.error());
  std::size_t groups = 0, attributes = 0;
  std::uint32_t crc = 0;
  for (const Hdf5Object& object : (*file)->objects()) {
    attributes += object.attributes.size();
    if (object.kind == Hdf5Object::Kind::kGroup) {
      ++groups;
      continue;
    }
    const auto bytes = ckpt::testing::ReadDataset(**file, object);
    ASSERT_TRUE(bytes) << ToString(bytes.error());
    crc = Crc32(*bytes, Crc32(std::as_bytes(std::span(object.path)), crc));
  }
  EXPECT_EQ(ckpt::testing::CountDatasets(**file), GetParam().datasets);
  EXPECT_EQ(groups, GetParam().groups);
  EXPECT_EQ(attributes, GetParam().attributes);
  EXPECT_EQ(crc, GetParam().crc);
}

INSTANTIATE_TEST_SUITE_P(
    Hdf5, Corpus,
    ::testing::Values(
        CorpusFile{"F1/weights/Meso4_DF.h5", 28, 29, 21, 0x70121ff9},
        CorpusFile{"F7/benchmark/training/anomaly_detection/trained_models/ad01.h5", 133, 109, 37,
                   0xeccc0276},
        CorpusFile{"F10/benchmark/training/streaming_wakeword/trained_models/str_ww_ref_model.h5",
                   63, 69, 32, 0x00a89edb},
        CorpusFile{"F18/compact_cnn/weights_tensorflow.hdf5", 33, 4, 4, 0x48832c3d},
        CorpusFile{"F18/compact_cnn/weights_theano.hdf5", 35, 5, 5, 0xded93ab9}));

}  // namespace
}  // namespace ckpt::formats::corpus_test
