#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "formats/tf_bundle/checkpoint_state.h"

namespace ckpt::formats::resolve_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

MemoryFiles FilesOf(const std::vector<std::string>& names) {
  MemoryFiles files;
  for (const std::string& name : names) files.Add(name, "x");
  return files;
}

// What `path` resolves to; REQUIRES that it does.
ResolvedBundle Resolved(const Files& files, const std::string& path) {
  const auto resolved = ResolveTfBundle(files, path);
  if (!resolved || !*resolved) {
    ADD_FAILURE() << path << ": " << (resolved ? "not a bundle" : ToString(resolved.error()));
    return {};
  }
  return **resolved;
}

bool IsNone(const Files& files, const std::string& path) {
  const auto resolved = ResolveTfBundle(files, path);
  return resolved && !resolved->has_value();
}

Error ErrorOf(const Files& files, const std::string& path) {
  const auto resolved = ResolveTfBundle(files, path);
  EXPECT_FALSE(resolved.has_value()) << path;
  return resolved ? Error{} : resolved.error();
}

TEST(ResolveBundle, TakesEveryFileOfACheckpoint) {
  const MemoryFiles files = FilesOf({"d/m.ckpt-5.index", "d/m.ckpt-5.data-00000-of-00002",
                                     "d/m.ckpt-5.data-00001-of-00002", "d/m.ckpt-5.meta"});
  for (const char* path : {"d/m.ckpt-5", "d/m.ckpt-5.index", "d/m.ckpt-5.meta",
                           "d/m.ckpt-5.data-00000-of-00002", "d/m.ckpt-5.data-00001-of-00002"}) {
    const ResolvedBundle resolved = Resolved(files, path);
    EXPECT_EQ(resolved.prefix, "d/m.ckpt-5") << path;
    EXPECT_EQ(resolved.note, "") << path;
    EXPECT_THAT(resolved.older, IsEmpty()) << path;
  }
}

TEST(ResolveBundle, TakesAnEmptyPrefix) {
  const MemoryFiles files = FilesOf({"d/.index", "d/.meta"});
  for (const char* path : {"d", "d/", "d/.index", "d/.meta"}) {
    EXPECT_EQ(Resolved(files, path).prefix, "d/") << path;
  }
}

TEST(ResolveBundle, FollowsTheStateFileToTheLatest) {
  MemoryFiles files = FilesOf({"d/m-100.index", "d/m-200.index", "d/m-300.index", "d/z-999.index"});
  files.Add("d/checkpoint",
            "model_checkpoint_path: \"m-300\"\n"
            "all_model_checkpoint_paths: \"m-50\"\n"  // deleted since
            "all_model_checkpoint_paths: \"m-100\"\n"
            "all_model_checkpoint_paths: \"m-200\"\n"
            "all_model_checkpoint_paths: \"m-300\"\n"
            "all_model_checkpoint_timestamps: 1.5\n"
            "last_preserved_timestamp: 2.5\n"
            "a_later_field { inner: \"passed over\" }\n");
  for (const char* path : {"d", "d/checkpoint"}) {
    const ResolvedBundle resolved = Resolved(files, path);
    EXPECT_EQ(resolved.prefix, "d/m-300") << path;
    EXPECT_EQ(resolved.note, "d/checkpoint names m-300 as the latest") << path;
    EXPECT_THAT(resolved.older, ElementsAre("d/m-100", "d/m-200")) << path;
  }
}

TEST(ResolveBundle, LooksBesideTheStateFileForPathsFromElsewhere) {
  for (const std::string named : {"/home/someone/run/m-7", "D:\\\\runs\\\\m-7", "../run/m-7",
                                  "\\\\\\\\server\\\\share\\\\m-7"}) {
    MemoryFiles files = FilesOf({"d/m-7.index"});
    files.Add("d/checkpoint", "model_checkpoint_path: \"" + named + "\"\n");
    const ResolvedBundle resolved = Resolved(files, "d");
    EXPECT_EQ(resolved.prefix, "d/m-7") << named;
    EXPECT_THAT(resolved.note, HasSubstr("it was looked for beside that file")) << named;
  }
  // An empty last component names the empty prefix.
  MemoryFiles files = FilesOf({"d/.index"});
  files.Add("d/checkpoint", "model_checkpoint_path: \"/home/someone/run/\"\n");
  EXPECT_EQ(Resolved(files, "d").prefix, "d/");
}

TEST(ResolveBundle, FollowsRelativePathsBelowTheStateFile) {
  MemoryFiles files = FilesOf({"d/sub/m-7.index"});
  files.Add("d/checkpoint", "model_checkpoint_path: \"./sub/m-7\"\n");
  EXPECT_EQ(Resolved(files, "d").prefix, "d/sub/m-7");
}

TEST(ResolveBundle, NeverLeavesTheFolderOfTheStateFile) {
  MemoryFiles files = FilesOf({"secret/m-7.index", "d/other.index"});
  for (const char* named : {"/secret/m-7", "../secret/m-7", "sub/../../secret/m-7", ".."}) {
    MemoryFiles with_state = files;
    with_state.Add("d/checkpoint", std::string("model_checkpoint_path: \"") + named + "\"\n");
    EXPECT_EQ(ErrorOf(with_state, "d").code, ErrorCode::kNotFound) << named;
  }
}

TEST(ResolveBundle, SaysWhatIsThereWhenTheLatestIsNot) {
  MemoryFiles files = FilesOf({"d/m-100.index"});
  files.Add("d/checkpoint",
            "model_checkpoint_path: \"m-200\"\nall_model_checkpoint_paths: \"m-100\"\n"
            "all_model_checkpoint_paths: \"m-200\"\n");
  const Error error = ErrorOf(files, "d");
  EXPECT_EQ(error.code, ErrorCode::kNotFound);
  EXPECT_EQ(error.file, "d/m-200.index");
  EXPECT_THAT(error.message, HasSubstr("there is d/m-100"));
}

TEST(ResolveBundle, TakesTheOnlyIndexOfAFolder) {
  const ResolvedBundle resolved = Resolved(FilesOf({"d/w.index", "d/readme"}), "d");
  EXPECT_EQ(resolved.prefix, "d/w");
  EXPECT_EQ(resolved.note, "the only checkpoint in d");
}

TEST(ResolveBundle, TakesTheHighestStepOfAFolderWithoutStateFile) {
  const ResolvedBundle resolved =
      Resolved(FilesOf({"d/m-9.index", "d/m-100.index", "d/m-20.index", "d/other-1.index"}), "d");
  EXPECT_EQ(resolved.prefix, "d/m-100");
  EXPECT_THAT(resolved.note, HasSubstr("highest step of 4"));
  EXPECT_THAT(resolved.older, ElementsAre("d/m-9", "d/m-20"));
}

TEST(ResolveBundle, RefusesToChooseWhereNothingSaysWhichIsTheLatest) {
  for (const auto& names : {std::vector<std::string>{"d/a.index", "d/b.index"},
                            std::vector<std::string>{"d/a-5.index", "d/b-5.index"}}) {
    const Error error = ErrorOf(FilesOf(names), "d");
    EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(error.file, "d");
    EXPECT_THAT(error.message, HasSubstr("name one"));
  }
}

TEST(ResolveBundle, FindsTheVariablesOfASavedModel) {
  const ResolvedBundle resolved =
      Resolved(FilesOf({"sm/saved_model.pb", "sm/variables/variables.index"}), "sm");
  EXPECT_EQ(resolved.prefix, "sm/variables/variables");
  EXPECT_EQ(resolved.note, "the variables of the SavedModel in sm");
}

TEST(ResolveBundle, SaysWhenOnlyDataIsLeft) {
  const MemoryFiles files = FilesOf({"d/m.data-00000-of-00001"});
  for (const char* path : {"d/m", "d/m.index", "d/m.data-00000-of-00001", "d"}) {
    const Error error = ErrorOf(files, path);
    EXPECT_EQ(error.code, ErrorCode::kCorrupt) << path;
    EXPECT_EQ(error.file, "d/m.index") << path;
    EXPECT_THAT(error.message, HasSubstr("m.data-00000-of-00001")) << path;
  }
}

TEST(ResolveBundle, PassesOverWhatAWriterLeftWhenItWasKilled) {
  const MemoryFiles files =
      FilesOf({"d/m.index", "d/m.data-00000-of-00001", "d/m.index.tempstate123",
               "d/m.data-00000-of-00001.tempstate123", "d/m.meta.tmpabc",
               "d/m_temp_0f/part-00000-of-00001.index"});
  EXPECT_EQ(Resolved(files, "d").prefix, "d/m");
}

TEST(ResolveBundle, HelpsWithAForgottenStep) {
  const Error error = ErrorOf(FilesOf({"d/m.ckpt-300.index", "d/m.ckpt-400.index"}), "d/m.ckpt");
  EXPECT_EQ(error.code, ErrorCode::kNotFound);
  EXPECT_THAT(error.message, HasSubstr("m.ckpt-300, m.ckpt-400"));
}

TEST(ResolveBundle, LeavesOtherFilesToOtherFormats) {
  MemoryFiles files = FilesOf({"d/a.h5", "d/alone.meta", "d/sub/file", "d/model.ckpt-3"});
  files.Add("d/checkpoint_notes", "model_checkpoint_path is described here");
  for (const char* path : {"d/a.h5", "d/alone.meta", "d/sub", "d/model.ckpt-3", "d/absent",
                           "d/checkpoint_notes", "absent/absent", "d"}) {
    EXPECT_TRUE(IsNone(files, path)) << path;
  }
}

TEST(ResolveBundle, RefusesABrokenStateFile) {
  MemoryFiles files = FilesOf({"d/m.index"});
  files.Add("d/checkpoint", "model_checkpoint_path: \"m\n");
  const Error error = ErrorOf(files, "d/checkpoint");
  EXPECT_EQ(error.code, ErrorCode::kCorrupt);
  EXPECT_EQ(error.file, "d/checkpoint");
  EXPECT_EQ(Resolved(files, "d").prefix, "d/m") << "the folder still has one";
  // Nested so deeply that a parser without a limit runs out of stack.
  std::string deep = "model_checkpoint_path: \"m\"\n";
  for (int i = 0; i < 500000; ++i) deep += "a{";
  MemoryFiles nested = FilesOf({"d/m.index"});
  nested.Add("d/checkpoint", deep);
  EXPECT_EQ(ErrorOf(nested, "d/checkpoint").code, ErrorCode::kCorrupt);
  // A prefix of that name is the common case beside a state file.
  MemoryFiles keras = FilesOf({"d/checkpoint.index"});
  keras.Add("d/checkpoint", "model_checkpoint_path: \"checkpoint\"\n");
  EXPECT_EQ(Resolved(keras, "d/checkpoint").prefix, "d/checkpoint");
}

}  // namespace
}  // namespace ckpt::formats::resolve_test
