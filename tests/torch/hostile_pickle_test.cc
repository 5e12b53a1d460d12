// Pickles that were made to do harm, or that no pickler writes: the decision for each. The numbers
// are those of the list of attacks that the reader was written against.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/torch/pickle_reader.h"
#include "tests/support/expected_tensors.h"
#include "tests/torch/torch_files.h"

namespace ckpt::formats::hostile_pickle_test {
namespace {

using ckpt::testing::kFourFloats;
using ckpt::testing::Little;
using ckpt::testing::OpenBytes;
using ckpt::testing::TorchArchive;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using namespace ckpt::testing::pickle;  // NOLINT: opcodes, so that a pickle reads like a listing

// The error of an archive with this pickle and one storage of four floats.
Error ErrorOf(const std::string& pickle) {
  const auto opened = OpenBytes(TorchArchive(pickle, {kFourFloats}));
  if (opened) {
    ADD_FAILURE() << "was read";
    return {};
  }
  EXPECT_EQ(opened.error().file, "model.pt");
  return opened.error();
}

void ExpectRefused(const std::string& pickle, ErrorCode code, const std::string& message) {
  const Error error = ErrorOf(pickle);
  EXPECT_EQ(error.code, code) << ToString(error);
  EXPECT_THAT(error.message, HasSubstr(message));
}

void ExpectCorrupt(const std::string& pickle, const std::string& message) {
  ExpectRefused(pickle, ErrorCode::kCorrupt, message);
}

// Read, with the vector "w" as its only tensor.
void ExpectRead(const std::string& pickle, const std::string& note = "") {
  const auto opened = OpenBytes(TorchArchive(pickle, {kFourFloats}));
  ASSERT_TRUE(opened) << ToString(opened.error());
  const Manifest& manifest = (*opened)->manifest();
  ASSERT_EQ(manifest.tensors.size(), 1U);
  EXPECT_EQ(manifest.tensors[0].name, "w");
  EXPECT_THAT(manifest.note, HasSubstr(note));
  EXPECT_EQ(ckpt::testing::AllBytes(**opened, TensorId{0}).size(), 16U);
}

TEST(HostilePickle, P00TheSoundOneIsRead) { ExpectRead(StateDict(Vector())); }

TEST(HostilePickle, P01NoStopOrATruncatedOperand) {
  const std::string sound = StateDict(Vector());
  for (std::size_t size = 0; size < sound.size(); ++size) {
    EXPECT_EQ(ErrorOf(sound.substr(0, size)).code, ErrorCode::kCorrupt) << size;
  }
}

TEST(HostilePickle, P02NothingToTake) {
  for (const char* opcode : {"\x85", "\x86", "\x87", "R", "b", "\x81", "s", "a", "0", "2", "Q",
                             "\x93", "\x94", "q\x01", "\x92"}) {
    ExpectCorrupt(kStart + opcode + ".", "that is not there");
  }
  ExpectCorrupt(kStart + "N\x86.", "that is not there");
  ExpectCorrupt(kStart + "(N(\x85.", "that is not there");
}

TEST(HostilePickle, P03MarksMissingOrLeft) {
  for (const char* opcode : {"t", "l", "d", "u", "e", "1", "o", "\x90", "\x91"}) {
    ExpectCorrupt(kStart + "}" + opcode + ".", "mark that is not there");
  }
  ExpectCorrupt(kStart + "(N.", "mark left open");
  ExpectCorrupt(kStart + "NN.", "2 values");
  ExpectCorrupt(kStart + ".", "0 values");
}

TEST(HostilePickle, P04AMemoEntryThatIsNot) {
  for (const std::string& get : {std::string("h\x07"), "j" + Little(7, 4), std::string("g7\n")}) {
    ExpectCorrupt(kStart + get + ".", "memo entry 7");
  }
  ExpectCorrupt(kStart + "gx\n.", "no number");
}

TEST(HostilePickle, P05ASparseMemoCostsNothing) {
  ExpectRead(kStart + "}" + "r" + Little(0xFFFFFFFF, 4) + "p1000000000000000000\n" + Text("w") +
             Vector() + "s.");
}

TEST(HostilePickle, P06LengthsBeyondTheFile) {
  for (const std::uint64_t size : {std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
    for (const char* opcode : {"\x8d", "\x8e", "\x96"}) {
      ExpectCorrupt(kStart + opcode + Little(size, 8) + ".", "are left");
    }
  }
  ExpectCorrupt(kStart + "X" + Little(0xFFFFFFFF, 4) + ".", "are left");
  ExpectCorrupt(kStart + "T" + Little(0xFFFFFFFF, 4) + ".", "are left");
}

TEST(HostilePickle, P07FramesThatLie) {
  ExpectCorrupt("\x80\x04\x95" + Little(1 << 20, 8) + "N.", "frame longer");
  ExpectCorrupt("\x80\x04\x95" + Little(11, 8) + "\x95" + Little(2, 8) + "N.", "frame inside");
}

// Ten lists, each of ten times the one before: 10^10 paths, a hundred values.
std::string Laughs(const std::string& innermost) {
  std::string pickle = innermost + "q\x01";
  for (int i = 0; i < 10; ++i) {
    pickle += "0]q\x02(";
    for (int j = 0; j < 10; ++j) pickle += "h\x01";
    pickle += "eq\x01";
  }
  return pickle;
}

TEST(HostilePickle, P08ABillionLaughs) {
  ExpectRead(kStart + "}" + Text("a") + Laughs("]") + "s" + Text("w") + Vector() + "s.");
  ExpectRefused(kStart + "}" + Text("a") + Laughs(Vector()) + "s.", ErrorCode::kLimitExceeded,
                "over and over");
}

TEST(HostilePickle, P09AMillionLevels) {
  std::string deep;
  for (int i = 0; i < 1'000'000; ++i) deep += "]";
  deep += std::string(999'999, 'a');
  ExpectRead(kStart + "}" + Text("a") + deep + "s" + Text("w") + Vector() + "s.");
  std::string with_tensor(1'000'000, ']');
  with_tensor += Vector() + std::string(1'000'000, 'a');
  ExpectRefused(kStart + "}" + Text("a") + with_tensor + "s.", ErrorCode::kLimitExceeded, "deep");
  // The same through tuples, which are made from the inside.
  std::string tuples = "N";
  for (int i = 0; i < 1'000'000; ++i) tuples += "\x85";
  ExpectRead(kStart + "}" + Text("a") + tuples + "s" + Text("w") + Vector() + "s.");
}

TEST(HostilePickle, P10ContainersThatContainThemselves) {
  ExpectRead(kStart + "}q\x01" + Text("self") + "h\x01s" + Text("w") + Vector() + "s.");
  ExpectRead(kStart + "}" + Text("l") + "]q\x01h\x01" + "as" + Text("w") + Vector() + "s.");
}

TEST(HostilePickle, P11ClassNamesFromTheMemo) {
  ExpectRead(kStart + Text("os") + "q\x01" + Text("system") + "q\x02" + "00}" + Text("a") +
                 "h\x01h\x02\x93" + Text("touch /tmp/x") + "\x85Rs" + Text("w") + Vector() + "s.",
             "os.system");
}

TEST(HostilePickle, P12ClassNamesThatAreNoText) {
  ExpectCorrupt(kStart + "NN\x93.", "no text");
  ExpectCorrupt(kStart + Text("os") + "K\x01\x93.", "no text");
}

TEST(HostilePickle, P13OddClassNames) {
  for (const char* name : {"a.b.c", "\xff\xfe", "torch._utils", "_rebuild_tensor_v2 "}) {
    ExpectRead(kStart + "}" + Text("a") + Global("torch.nn.os", name) + ")Rs" + Text("w") +
                   Vector() + "s.",
               "not run");
  }
}

TEST(HostilePickle, P14TextOpcodes) {
  ExpectRead("(d" + Text("n") + "I12\nsVa\\u00e9\nL12L\nsVf\nF1.5e3\nsS'q\\x41\\n'\nI01\nsVw\n" +
             Vector() + "s.");
  ExpectRead("(dS'w'\n" + Vector() + "sS'i'\n(ios\nsystem\nsS'o'\n(cos\nsystem\nos.", "os.system");
  ExpectCorrupt("I1x\n.", "integer");
  ExpectCorrupt("L123456789012345678901234567890L\n.", "integer");
  ExpectCorrupt("Fabc\n.", "float");
  for (const char* text :
       {"S'a\n.", "Sa\n.", "S'\\x4'\n.", "S'\\'\n.", "V\\u12\n.", "V\\UFFFFFFFF\n."}) {
    ExpectCorrupt(text, "string");
  }
}

TEST(HostilePickle, P15CodesOfTheExtensionRegistry) {
  for (const std::string& code :
       {std::string("\x82\x01"), "\x83" + Little(1, 2), "\x84" + Little(1, 4)}) {
    ExpectRefused(kStart + code + ".", ErrorCode::kUnsupported, "outside the file");
  }
}

TEST(HostilePickle, P16PersistentIdsThatAreNoStorages) {
  const auto with = [](const std::string& id) {
    return StateDict(Tensor(id, Int(0), Int(4) + "\x85", Int(1) + "\x85"));
  };
  ExpectCorrupt(with("K\x05Q"), "no storage");
  ExpectCorrupt(with("Pstorage\n"), "no storage");
  ExpectCorrupt(with("(" + Text("storage") + "tQ"), "no storage");
  ExpectCorrupt(with("(" + Text("module") + "NNNNtQ"), "no storage");
  ExpectCorrupt(with("(" + Text("storage") + "NNNNtQ"), "class and key");
  ExpectCorrupt(with("(" + Text("storage") + Global("torch", "FloatStorage") + Text("0") +
                     Text("cpu") + Text("4") + "tQ"),
                "number of elements");
  ExpectCorrupt(with("N"), "no storage");
  // One that no tensor uses is nothing to read.
  ExpectRead(kStart + "}" + Text("a") + "K\x05Qs" + Text("w") + Vector() + "s.");
}

TEST(HostilePickle, P17CallsOfUnknownFunctionsAreInert) {
  ExpectRead(kStart + "}" + Text("a") + Global("builtins", "eval") + Text("1/0") + "\x85Rs" +
                 Text("w") + Vector() + "s.",
             "builtins.eval");
  // A tensor among their arguments is listed below them.
  const auto opened = OpenBytes(TorchArchive(
      kStart + "}" + Text("a") + Global("my", "Wrapped") + Vector() + "\x85Rs.", {kFourFloats}));
  ASSERT_TRUE(opened) << ToString(opened.error());
  ASSERT_EQ((*opened)->manifest().tensors.size(), 1U);
  EXPECT_EQ((*opened)->manifest().tensors[0].name, "a.0");
}

TEST(HostilePickle, P17RebuildingFunctionsWithOtherArguments) {
  const std::string function = Global("torch._utils", "_rebuild_tensor_v2");
  ExpectCorrupt(StateDict(function + ")R"), "0 arguments");
  ExpectCorrupt(StateDict(function + "(NNNNNNtR"), "no storage");
  ExpectCorrupt(StateDict(Tensor(Storage(Int(4)), "N", Int(4) + "\x85", Int(1) + "\x85")),
                "offset");
  ExpectCorrupt(StateDict(Tensor(Storage(Int(4)), Int(0), "N", Int(1) + "\x85")), "shape");
  ExpectCorrupt(StateDict(Tensor(Storage(Int(4)), Int(0), Text("4"), Int(1) + "\x85")), "shape");
  ExpectCorrupt(StateDict(Tensor(Storage(Int(4)), Int(0), Int(4) + "\x85", ")")), "0 strides");
  ExpectCorrupt(StateDict(Global("torch._utils", "_rebuild_parameter") + ")R"), "made of nothing");
  ExpectCorrupt(StateDict(Global("torch._utils", "_rebuild_parameter") + "N\x85R"), "no tensor");
  ExpectCorrupt(StateDict(Global("torch._tensor", "_rebuild_from_type_v2") + "N\x85R"),
                "other parts");
  ExpectCorrupt(StateDict(Global("torch._utils", "_rebuild_sparse_tensor") + "N\x85R"), "sparse");
}

TEST(HostilePickle, P17ReduceOfWhatIsNoFunction) {
  ExpectCorrupt(kStart + "N)R.", "neither class nor function");
  ExpectCorrupt(kStart + Global("a", "b") + "NR.", "no tuple");
}

TEST(HostilePickle, P18AttributesOfWhatHasNone) {
  ExpectCorrupt(kStart + "]N" + "b.", "has none");
  ExpectCorrupt(kStart + Global("a", "b") + "}b.", "has none");
  ExpectRead(StateDict(Vector() + "}b"));  // a tensor with attributes is still a tensor
}

TEST(HostilePickle, P19NewObjects) {
  ExpectRead(kStart + "}" + Text("a") + Global("my", "Class") + ")\x81s" + Text("b") +
                 Global("my", "Other") + ")}\x92s" + Text("w") + Vector() + "s.",
             "my.Class, my.Other");
  ExpectCorrupt(kStart + Global("my", "Other") + ")N\x92.", "keywords");
}

TEST(HostilePickle, P20ItemsOfWhatIsNoDict) {
  ExpectCorrupt(kStart + "]NNs.", "no container");
  ExpectCorrupt(kStart + "N(NNu.", "no container");
  ExpectCorrupt(kStart + "}(Nu.", "without a value");
  ExpectCorrupt(kStart + "(Nd.", "without a value");
}

TEST(HostilePickle, P21AppendingToWhatIsNoList) {
  ExpectCorrupt(kStart + "}Na.", "no container");
  ExpectCorrupt(kStart + ")(Ne.", "no container");
  ExpectCorrupt(kStart + "](N\x90.", "no container");
}

TEST(HostilePickle, P22KeysThatAreNoText) {
  ExpectCorrupt(kStart + "}]" + Vector() + "s.", "cannot be one");
  const auto opened = OpenBytes(TorchArchive(
      kStart + "}K\x03" + Vector() + "s\x88" + Vector() + "sN" + Vector() + "s.", {kFourFloats}));
  ASSERT_TRUE(opened) << ToString(opened.error());
  EXPECT_TRUE(FindTensor((*opened)->manifest(), "3"));
  EXPECT_TRUE(FindTensor((*opened)->manifest(), "True"));
  EXPECT_TRUE(FindTensor((*opened)->manifest(), "None"));
}

TEST(HostilePickle, P23BuffersOutsideTheFile) {
  for (const char* opcode : {"\x97", "\x98"}) {
    ExpectRefused(kStart + opcode + ".", ErrorCode::kUnsupported, "not in the file");
  }
}

TEST(HostilePickle, P24SizesThatOverflowOrAreNegative) {
  const auto tensor = [](const std::string& elements, const std::string& offset,
                         const std::string& size, const std::string& stride) {
    return StateDict(Tensor(Storage(elements), offset, size + "\x85", stride + "\x85"));
  };
  const std::string minus = Int(0xFFFFFFFF), huge = Long(std::uint64_t{1} << 62);
  ExpectCorrupt(tensor(minus, Int(0), Int(4), Int(1)), "number of elements");
  ExpectCorrupt(tensor(huge, Int(0), Int(4), Int(1)), "elements");
  ExpectCorrupt(tensor(Int(4), minus, Int(4), Int(1)), "offset");
  ExpectCorrupt(tensor(Int(4), huge, Int(4), Int(1)), "reaches element");
  ExpectCorrupt(tensor(Int(4), Int(0), minus, Int(1)), "shape");
  ExpectCorrupt(tensor(Int(4), Int(0), huge, huge), "overflow");
  ExpectCorrupt(tensor(Int(4), Int(0), Int(4), minus), "stride");
  ExpectCorrupt(tensor(Int(4), Int(1), Int(4), Int(1)), "reaches element 4");
  ExpectCorrupt(tensor(Int(4), Int(0), Int(2), Int(4)), "reaches element 4");
  ExpectCorrupt(
      StateDict(Tensor(Storage(Int(4)), Int(0), huge + huge + "\x86", Int(0) + Int(0) + "\x86")),
      "");
}

TEST(HostilePickle, P24AnExpandedElementIsNotStreamedForHours) {
  const auto opened = OpenBytes(
      TorchArchive(StateDict(Tensor(Storage(Int(4)), Int(0), Long(std::uint64_t{1} << 40) + "\x85",
                                    Int(0) + "\x85")),
                   {kFourFloats}));
  ASSERT_TRUE(opened) << ToString(opened.error());
  ASSERT_EQ((*opened)->manifest().problems.size(), 1U);
  EXPECT_EQ((*opened)->manifest().problems[0].error.code, ErrorCode::kLimitExceeded);
  EXPECT_FALSE((*opened)->Open(TensorId{0}));
}

TEST(HostilePickle, P25ARecordOfAnotherSize) {
  for (const std::size_t size : {0U, 15U, 17U, 32U}) {
    const auto opened = OpenBytes(TorchArchive(StateDict(Vector()), {std::string(size, '\x3f')}));
    ASSERT_TRUE(opened) << ToString(opened.error());
    const Manifest& manifest = (*opened)->manifest();
    ASSERT_EQ(manifest.problems.size(), 1U);
    EXPECT_THAT(manifest.problems[0].error.message, HasSubstr("should have 16 bytes"));
    EXPECT_FALSE(manifest.tensors[0].data_present);
    EXPECT_FALSE((*opened)->Open(TensorId{0}));
  }
}

TEST(HostilePickle, P27SparseTensorsAreNotFollowed) {
  const std::string sparse = Global("torch._utils", "_rebuild_sparse_tensor") + "N(" + Vector() +
                             Vector() + Long(std::uint64_t{1} << 40) + "\x85" + "t\x86R";
  const auto opened = OpenBytes(TorchArchive(StateDict(sparse), {kFourFloats}));
  ASSERT_TRUE(opened) << ToString(opened.error());
  ASSERT_EQ((*opened)->manifest().problems.size(), 1U);
  EXPECT_EQ((*opened)->manifest().problems[0].error.code, ErrorCode::kUnsupported);
}

TEST(HostilePickle, P28BytesBehindTheStopAreReported) {
  ExpectRead(StateDict(Vector()) + kStart + "N.", "4 bytes follow");
}

TEST(HostilePickle, P34LargeIntegers) {
  ExpectRefused(kStart + "\x8b" + Little(1 << 20, 4) + std::string(1 << 20, '\x01') + ".",
                ErrorCode::kLimitExceeded, "integer of");
  ExpectRead(kStart + "}" + Text("a") + "\x8a\xff" + std::string(255, '\x01') + "s" + Text("w") +
             Vector() + "s.");
}

TEST(HostilePickle, P35NamesThatAreNotPrintable) {
  for (const std::string& name : {std::string("a\0b", 3), std::string("\xed\xa0\x80"),
                                  std::string("\x1b[2J"), std::string("\xe2\x80\xae")}) {
    const auto opened =
        OpenBytes(TorchArchive(kStart + "}" + Text(name) + Vector() + "s.", {kFourFloats}));
    ASSERT_TRUE(opened) << ToString(opened.error());
    EXPECT_EQ((*opened)->manifest().tensors[0].name, name);
  }
}

TEST(HostilePickle, P36ManyCheapOpcodesEndAtABoundOfMemory) {
  std::string many = kStart + "(";
  for (int i = 0; i < 2'000'000; ++i) many += "(t";
  PickleGraph graph;
  PickleInput input(many, "model.pt");
  const auto read = ReadPickle(input, graph, {.memory = 16 << 20, .memory_per_byte = 0});
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::kLimitExceeded);
  EXPECT_THAT(read.error().message, HasSubstr("16 MiB"));
}

TEST(HostilePickle, P37AKeyTwice) {
  ExpectCorrupt(kStart + "}" + Text("w") + Vector() + "s" + Text("w") + Vector() + "s.", "twice");
}

TEST(HostilePickle, P39TypesThatAreUnknown) {
  ExpectRefused(StateDict(Tensor(Storage(Int(4), "0", "Int3Storage"), Int(0), Int(4) + "\x85",
                                 Int(1) + "\x85")),
                ErrorCode::kUnsupported, "Int3Storage");
  const std::string typed = Global("torch._utils", "_rebuild_tensor_v3") + "((" + Text("storage") +
                            Global("torch.storage", "UntypedStorage") + Text("0") + Text("cpu") +
                            Int(16) + "tQ" + Int(0) + Int(4) + "\x85" + Int(1) + "\x85\x89" +
                            kHooks + Global("torch", "float3") + "tR";
  ExpectRefused(StateDict(typed), ErrorCode::kUnsupported, "torch.float3");
}

TEST(HostilePickle, BytesThatAreNoOpcodeAndLaterProtocols) {
  ExpectCorrupt(kStart + "\xff.", "255");
  ExpectRefused("\x80\x09N.", ErrorCode::kUnsupported, "protocol 9");
}

TEST(HostilePickle, P41MemoryIsBoundedByTheBytesOfThePickle) {
  const auto bound = [](const std::string& pickle, std::uint64_t justified) {
    PickleGraph graph;
    PickleInput input(pickle, "model.pt");
    const PickleLimits limits{.memory = 1 << 20, .justified_bytes = justified};
    return ReadPickle(input, graph, limits);
  };
  const std::string dicts = kStart + "(" + std::string(200'000, '}') + "l.";
  const auto refused = bound(dicts, dicts.size());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kLimitExceeded);
  EXPECT_THAT(refused.error().message, HasSubstr("MiB of objects"));
  // What deflates to almost nothing justifies almost nothing.
  std::string numbers = kStart + "(";
  for (int i = 0; i < 100'000; ++i) numbers += Long(static_cast<std::uint64_t>(i));
  numbers += "l.";
  EXPECT_TRUE(bound(numbers, numbers.size()));
  EXPECT_FALSE(bound(numbers, 1000));
}

TEST(HostilePickle, P42NamesTogetherAreBoundedByTheBytesOfThePickle) {
  // Four levels of keys of 15 kB in the memo, 3000 tensors below: 180 MB of names in 90 kB.
  std::string pickle = kStart + Vector() + "q\x01" + "0}q\x02";
  for (int i = 0; i < 3000; ++i) pickle += Text(std::to_string(i)) + "h\x01s";
  for (int i = 0; i < 4; ++i) {
    pickle +=
        "q\x02"
        "0}" +
        Text(std::string(15'000, static_cast<char>('a' + i))) + "h\x02s";
  }
  ExpectRefused(pickle + ".", ErrorCode::kLimitExceeded, "far longer than the pickle");
}

TEST(HostilePickle, P43WhatAnUnknownFunctionMakesOfAStorageIsATensorThatIsNotRead) {
  std::string pickle = StateDict(Vector());
  pickle.replace(pickle.find("_rebuild_tensor_v2"), 18, "_rebuill_tensor_v2");
  const auto opened = OpenBytes(TorchArchive(pickle, {kFourFloats}));
  ASSERT_TRUE(opened) << ToString(opened.error());
  ASSERT_EQ((*opened)->manifest().tensors.size(), 1U);
  EXPECT_FALSE((*opened)->manifest().tensors[0].data_present);
  EXPECT_THAT((*opened)->manifest().problems.at(0).error.message, HasSubstr("_rebuill_tensor_v2"));
}

TEST(HostilePickle, P44ObjectsOfUnknownClassesAloneAreNoCheckpoint) {
  const std::string pickle = kStart + "}" + Text("w") + Global("my", "Net") + ")\x81}bs.";
  ExpectRefused(pickle, ErrorCode::kUnsupported, "my.Net");
}

}  // namespace
}  // namespace ckpt::formats::hostile_pickle_test
