#include "formats/flax/flax.h"

#include <bit>
#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "formats/container/git_lfs.h"
#include "formats/container/name_budget.h"
#include "formats/container/stored_tensors.h"
#include "formats/encoding/byte_reader.h"
#include "formats/flax/msgpack.h"

namespace ckpt::formats {
namespace {

constexpr int kArrayType = 1, kComplexType = 2, kScalarType = 3;
constexpr unsigned kMaxDepth = 100;
constexpr std::string_view kChunkedKey = "__msgpack_chunked_array__";

using Kind = MsgpackKind;

struct Array {
  Shape shape;
  std::string dtype_name;
  std::optional<Dtype> dtype;
  std::vector<FileRange> ranges;
};

std::uint64_t BytesOf(const FileRange& range) { return range.size; }

class Reader {
 public:
  Reader(const RandomAccessFile& file, const Limits& limits)
      : file_(file), limits_(limits), cursor_(file), names_(limits) {}

  Status Read() {
    const MsgpackItem root = NextItem(cursor_);
    if (cursor_.ok() && root.kind != Kind::kMap) Corrupt("does not begin with a map");
    if (cursor_.ok()) ReadMap(root.size, "", 1);
    if (cursor_.ok() && cursor_.remaining() > 0) Corrupt("has bytes behind its map");
    return cursor_.status();
  }

  Manifest manifest;
  std::vector<StoredTensor> tensors;

 private:
  void Corrupt(std::string message) { cursor_.Fail(ErrorCode::kCorrupt, std::move(message)); }

  std::string ReadKey() {
    const MsgpackItem item = NextItem(cursor_);
    if (cursor_.ok() && item.kind != Kind::kString) Corrupt("has a key that is not a text");
    names_.AddRecord(item.size);
    return cursor_.ok() ? cursor_.Text(item.size, limits_.name_bytes) : std::string();
  }

  void ReadMap(std::uint64_t pairs, const std::string& path, unsigned depth) {
    if (depth > kMaxDepth) {
      cursor_.Fail(ErrorCode::kLimitExceeded,
                   "is nested more than " + std::to_string(kMaxDepth) + " deep");
    }
    std::set<std::string, std::less<>> keys;
    for (std::uint64_t i = 0; i < pairs && cursor_.ok(); ++i) {
      const std::string key = ReadKey();
      if (!cursor_.ok()) return;
      if (!keys.insert(key).second) return Corrupt("has the key \"" + key + "\" twice in one map");
      if (i == 0 && key == kChunkedKey) return ReadChunked(pairs, path);
      const std::string below = path.empty() ? key : path + "/" + key;
      if (below.size() > limits_.name_bytes) return Corrupt("has a name that is too long");
      if (!names_.Take(below.size())) return cursor_.Fail(names_.Exceeded(file_.path()));
      ReadValue(below, depth);
    }
  }

  void ReadValue(const std::string& path, unsigned depth) {
    const MsgpackItem item = NextItem(cursor_);
    if (!cursor_.ok()) return;
    switch (item.kind) {
      case Kind::kMap:
        return ReadMap(item.size, path, depth + 1);
      case Kind::kExtension:
        return ReadExtension(item, path);
      case Kind::kInteger:
        return AddNumber(path,
                         item.negative || item.integer <= INT64_MAX ? Dtype::kI64 : Dtype::kU64,
                         item.integer);
      case Kind::kBool:
        return AddLiteral(path, Dtype::kBool, {static_cast<std::byte>(item.integer)});
      case Kind::kFloat:
        return AddNumber(path, Dtype::kF64, std::bit_cast<std::uint64_t>(item.number));
      case Kind::kNil:
        return;
      case Kind::kString:
        manifest.metadata[path] = cursor_.Text(item.size, limits_.metadata_bytes);
        return;
      case Kind::kBinary:
      case Kind::kArray:
        return cursor_.Fail(
            ErrorCode::kUnsupported,
            "has bytes or a list at \"" + path + "\", which flax.serialization does not write");
    }
  }

  void AddNumber(const std::string& path, Dtype dtype, std::uint64_t bits) {
    std::vector<std::byte> bytes(sizeof bits);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<std::byte>(bits >> (8 * i) & 0xff);
    }
    AddLiteral(path, dtype, std::move(bytes));
  }

  void AddLiteral(const std::string& path, Dtype dtype, std::vector<std::byte> bytes) {
    TensorInfo info;
    info.dtype = dtype;
    info.byte_size = bytes.size();
    StoredTensor stored;
    stored.literal = std::move(bytes);
    Add(path, std::move(info), std::move(stored));
  }

  void ReadExtension(const MsgpackItem& item, const std::string& path) {
    const std::uint64_t end = cursor_.offset() + item.size;
    if (item.extension == kComplexType) {
      FileCursor payload(file_, cursor_.offset(), end);
      const MsgpackItem parts = NextItem(payload);
      std::vector<std::byte> bytes;
      for (unsigned i = 0; i < 2 && payload.ok(); ++i) {
        const MsgpackItem part = NextItem(payload);
        const double number = part.kind == Kind::kInteger
                                  ? (part.negative ? -static_cast<double>(~part.integer + 1)
                                                   : static_cast<double>(part.integer))
                                  : part.number;
        const auto bits = std::bit_cast<std::uint64_t>(number);
        for (unsigned b = 0; b < 8; ++b) bytes.push_back(static_cast<std::byte>(bits >> (8 * b)));
      }
      if (parts.kind != Kind::kArray || parts.size != 2 || !payload.ok()) {
        return Corrupt("has a complex number that is none at \"" + path + '"');
      }
      cursor_.Skip(item.size);
      return AddLiteral(path, Dtype::kC128, std::move(bytes));
    }
    if (item.extension != kArrayType && item.extension != kScalarType) {
      return cursor_.Fail(ErrorCode::kUnsupported, "has the extension type " +
                                                       std::to_string(item.extension) + " at \"" +
                                                       path + "\", which is not one of Flax's");
    }
    std::optional<Array> array = ReadArray(item.size, path);
    if (array) AddArray(path, *std::move(array));
  }

  // The payload of an array, which is `size` bytes long; fails through the cursor.
  std::optional<Array> ReadArray(std::uint64_t size, const std::string& path) {
    const std::string where = " at \"" + path + '"';
    const std::uint64_t end = cursor_.offset() + size;
    Array array;
    std::vector<std::int64_t> dims;
    const MsgpackItem parts = NextItem(cursor_);
    const MsgpackItem shape = NextItem(cursor_);
    bool sound = parts.kind == Kind::kArray && parts.size == 3 && shape.kind == Kind::kArray;
    for (std::uint64_t i = 0; sound && cursor_.ok() && i < shape.size; ++i) {
      const MsgpackItem dim = NextItem(cursor_);
      sound = dim.kind == Kind::kInteger && !dim.negative && dim.integer <= INT64_MAX &&
              cursor_.offset() <= end;
      dims.push_back(static_cast<std::int64_t>(dim.integer));
    }
    const MsgpackItem name = sound ? NextItem(cursor_) : MsgpackItem{};
    if (name.kind == Kind::kString) array.dtype_name = cursor_.Text(name.size, 100);
    const MsgpackItem data = NextItem(cursor_);
    sound = sound && cursor_.ok() && name.kind == Kind::kString && data.kind == Kind::kBinary;
    if (sound) {
      array.ranges = {{0, cursor_.offset(), data.size}};
      cursor_.Skip(data.size);
      sound = cursor_.ok() && cursor_.offset() == end;
    }
    const auto made = sound ? Shape::FromDims(dims) : Result<Shape>();
    if (!sound || !made) {
      Corrupt("has an array that is none" + where);
      return std::nullopt;
    }
    array.shape = *made;
    array.dtype = DtypeFromName(array.dtype_name);
    return array;
  }

  // {"__msgpack_chunked_array__": true, "shape": {"0": ...}, "chunks": {"0": array, ...}}: the
  // array flattened and cut.
  void ReadChunked(std::uint64_t pairs, const std::string& path) {
    (void)NextItem(cursor_);
    std::vector<std::int64_t> dims;
    Array whole;
    std::uint64_t elements = 0;
    bool sound = pairs == 3;
    for (const std::string_view expected : {"shape", "chunks"}) {
      sound = sound && cursor_.ok() && ReadKey() == expected;
      const MsgpackItem list = sound ? NextItem(cursor_) : MsgpackItem{};
      sound = sound && cursor_.ok() && list.kind == Kind::kMap;
      for (std::uint64_t i = 0; sound && i < list.size; ++i) {
        sound = ReadKey() == std::to_string(i) && cursor_.ok();
        const MsgpackItem item = sound ? NextItem(cursor_) : MsgpackItem{};
        if (expected == "shape") {
          sound =
              sound && item.kind == Kind::kInteger && !item.negative && item.integer <= INT64_MAX;
          dims.push_back(static_cast<std::int64_t>(item.integer));
          continue;
        }
        sound = sound && item.kind == Kind::kExtension && item.extension == kArrayType;
        if (!sound) break;
        const auto chunk = ReadArray(item.size, path);
        if (!chunk) return;
        sound = i == 0 || chunk->dtype_name == whole.dtype_name;
        whole.dtype_name = chunk->dtype_name;
        whole.dtype = chunk->dtype;
        whole.ranges.push_back(chunk->ranges.front());
        sound = sound && CheckedAdd(elements, chunk->shape.element_count(), &elements);
      }
    }
    const auto shape = Shape::FromDims(dims);
    if (!cursor_.ok()) return;
    if (!sound || !shape || whole.ranges.empty() || shape->element_count() != elements) {
      return Corrupt("has an array in chunks that do not make one at \"" + path + '"');
    }
    whole.shape = *shape;
    AddArray(path, std::move(whole));
  }

  void AddArray(const std::string& path, Array array) {
    TensorInfo info;
    info.shape = array.shape;
    info.dtype = array.dtype.value_or(Dtype::kVoid);
    for (const FileRange& range : array.ranges) info.byte_size += BytesOf(range);
    std::uint64_t bits = 0;
    const bool known = array.dtype && BitSize(*array.dtype) > 0;
    // Types of four bits have a byte for each element here, which a stream does not yield.
    const bool readable = known && BitSize(*array.dtype) % 8 == 0;
    const std::uint64_t count = array.shape.element_count();
    const bool fits = !readable || (CheckedMul(count, BitSize(*array.dtype) / 8, &bits) &&
                                    bits == info.byte_size);
    if (!fits) {
      return Corrupt("\"" + path + "\" has " + std::to_string(info.byte_size) +
                     " bytes, which do not hold " + ToString(array.shape) + " of " +
                     array.dtype_name);
    }
    if (!readable) {
      info.data_present = false;
      manifest.problems.push_back(
          {Error{ErrorCode::kUnsupported,
                 "has the element type \"" + array.dtype_name + "\", which is not read",
                 file_.path(), array.ranges.front().offset, path},
           {TensorId{static_cast<std::uint32_t>(tensors.size())}}});
    }
    StoredTensor stored;
    stored.ranges = std::move(array.ranges);
    Add(path, std::move(info), std::move(stored));
  }

  void Add(const std::string& path, TensorInfo info, StoredTensor stored) {
    if (tensors.size() >= limits_.tensors) {
      return cursor_.Fail(ErrorCode::kLimitExceeded,
                          "has more than " + std::to_string(limits_.tensors) + " tensors");
    }
    info.name = info.stored_as = path;
    info.data_file = file_.path();
    manifest.tensors.push_back(std::move(info));
    tensors.push_back(std::move(stored));
  }

  const RandomAccessFile& file_;
  const Limits& limits_;
  FileCursor cursor_;
  NameBudget names_;
};

// "params/bn/scale" -> bn/scale, trainable. Where two collections have one name, both keep theirs.
void NameByCollection(Manifest& manifest) {
  std::map<std::string, std::size_t> uses;
  const auto below = [](const TensorInfo& info, std::string_view collection) {
    return info.stored_as.starts_with(collection) ? info.stored_as.substr(collection.size())
                                                  : std::string();
  };
  for (const TensorInfo& info : manifest.tensors) {
    std::string name = below(info, "params/");
    if (name.empty()) name = below(info, "batch_stats/");
    ++uses[name.empty() ? info.stored_as : name];
  }
  for (TensorInfo& info : manifest.tensors) {
    const std::string parameter = below(info, "params/"), statistic = below(info, "batch_stats/");
    const std::string& name = parameter.empty() ? statistic : parameter;
    if (!parameter.empty()) info.trainable = true;
    if (!statistic.empty()) info.trainable = false;
    if (info.stored_as.starts_with("opt_state/") ||
        info.stored_as.starts_with("optimizer/state/")) {
      info.section = Section::kOptimizer;
    }
    if (name.empty() || uses[name] > 1) continue;
    const std::size_t slash = name.rfind('/');
    if (slash != std::string::npos) {
      info.owner = name.substr(0, slash);
      info.local_name = name.substr(slash + 1);
    }
    info.name = name;
  }
}

// Passes over the keys and plain values before the first array.
bool BeginsLikeFlax(std::span<const std::byte> head) {
  MemoryFiles files;
  files.Add("head", std::vector<std::byte>(head.begin(), head.end()));
  const auto file = files.Open("head");
  FileCursor cursor(**file);
  // Sizes reach beyond the head, so only single bytes are looked at here.
  unsigned maps = 0;
  while (cursor.ok() && cursor.remaining() > 0) {
    const unsigned tag = cursor.U8();
    if ((tag >= 0x80 && tag < 0x90) || tag == 0xde || tag == 0xdf) {
      ++maps;
      if (tag >= 0xde) cursor.Skip(tag == 0xde ? 2 : 4);
    } else if (maps == 0) {
      return false;
    } else if (tag >= 0xa0 && tag < 0xc0) {
      cursor.Skip(tag & 0x1fU);
    } else if (tag == 0xd9) {
      cursor.Skip(cursor.U8());
    } else if (tag >= 0xcc && tag <= 0xd3) {
      cursor.Skip(std::uint64_t{1} << ((tag - 0xcc) % 4));
    } else if (tag == 0xca || tag == 0xcb) {
      cursor.Skip(tag == 0xca ? 4 : 8);
    } else if ((tag >= 0xc7 && tag <= 0xc9) || (tag >= 0xd4 && tag <= 0xd8)) {
      if (tag <= 0xc9) cursor.Skip(std::uint64_t{1} << (tag - 0xc7));
      const unsigned type = cursor.U8(), payload = cursor.U8(), shape = cursor.U8();
      return cursor.ok() && (type == kArrayType || type == kScalarType) && payload == 0x93 &&
             shape >= 0x90 && shape < 0xa0;
    } else if (tag >= 0x80 && tag != 0xc0 && tag != 0xc2 && tag != 0xc3 && tag < 0xe0) {
      return false;
    }
  }
  return false;
}

}  // namespace

Match ProbeFlax(const ProbeInput& input) {
  if (input.head.empty()) return Match::kNo;
  const auto first = std::to_integer<unsigned>(input.head.front());
  if (!((first > 0x80 && first < 0x90) || first == 0xde || first == 0xdf)) return Match::kNo;
  if (BeginsLikeFlax(input.head)) return Match::kCertain;
  return input.file_name.ends_with(".msgpack") ? Match::kLikely : Match::kNo;
}

Result<std::unique_ptr<Checkpoint>> OpenFlax(const Files& files, const std::filesystem::path& path,
                                             const Limits& limits) {
  CKPT_ASSIGN_OR_RETURN(std::shared_ptr<const RandomAccessFile> file, files.Open(path));
  if (auto pointer = GitLfsPointer(*file)) return Fail(*std::move(pointer));
  Reader reader(*file, limits);
  CKPT_RETURN_IF_ERROR(reader.Read());
  Manifest manifest = std::move(reader.manifest);
  manifest.resolved = path.string();
  manifest.files = {manifest.resolved};
  manifest.framework = Framework::kFlax;
  NameByCollection(manifest);
  CKPT_RETURN_IF_ERROR(SortByName(manifest, reader.tensors));
  return std::make_unique<StoredTensors>("flax", std::move(manifest), std::vector{std::move(file)},
                                         std::move(reader.tensors));
}

}  // namespace ckpt::formats
