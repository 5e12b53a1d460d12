#include "formats/hdf5/hdf5_tree.h"

#include <new>
#include <unordered_set>

#include "formats/container/name_budget.h"
#include "formats/hdf5/hdf5_bounds.h"

namespace ckpt::formats {
namespace {

struct Link {
  std::string name;
  H5L_type_t type;
  haddr_t address;  // of a hard link
};

struct Links {
  std::vector<Link> list = {};
  std::uint64_t max;
  bool too_many = false, no_memory = false;
};

herr_t CollectLink(hid_t, const char* name, const H5L_info_t* info, void* out) {
  auto& links = *static_cast<Links*>(out);
  links.too_many = links.list.size() >= links.max;
  if (links.too_many) return -1;
  try {  // no exception may pass the library
    links.list.push_back({name, info->type, info->type == H5L_TYPE_HARD ? info->u.address : 0});
  } catch (const std::bad_alloc&) {
    links.no_memory = true;
    return -1;
  }
  return 0;
}

class Walk {
 public:
  Walk(hid_t file, std::uint64_t file_bytes, const Limits& limits, const Hdf5Visit& visit)
      : file_(file), limits_(limits), visit_(visit), names_(limits, file_bytes) {}

  Status Run() {
    const Hdf5Id root(H5Oopen(file_, "/", H5P_DEFAULT), H5Oclose);
    H5O_info_t info{};
    if (!root.ok() || H5Oget_info2(root.get(), &info, H5O_INFO_BASIC) < 0) {
      return Fail(Hdf5Error(ErrorCode::kCorrupt, "opening the root group"));
    }
    pending_.push_back({"/", info.addr, 0});
    while (!pending_.empty()) {
      const Pending next = std::move(pending_.back());
      pending_.pop_back();
      CKPT_RETURN_IF_ERROR(VisitObject(next));
    }
    return {};
  }

 private:
  struct Pending {
    std::string path;
    haddr_t address;
    std::size_t depth;
  };

  Status VisitObject(const Pending& at) {
    if (++visited_ > limits_.tensors) {
      return Fail(ErrorCode::kLimitExceeded,
                  "has more than " + std::to_string(limits_.tensors) + " objects");
    }
    const Hdf5Id object(H5Oopen_by_addr(file_, at.address), H5Oclose);
    H5O_info_t info{};
    if (!object.ok() || H5Oget_info2(object.get(), &info, H5O_INFO_BASIC) < 0) {
      return Fail(Hdf5Error(ErrorCode::kCorrupt, "opening the object " + Hdf5Quoted(at.path)));
    }
    switch (info.type) {
      case H5O_TYPE_DATASET:
        return visit_(object.get(), at.address, Hdf5Object::Kind::kDataset, at.path);
      case H5O_TYPE_NAMED_DATATYPE:
        return {};
      case H5O_TYPE_GROUP:
        return VisitGroup(object.get(), at);
      default:
        return Fail(ErrorCode::kCorrupt,
                    "the object " + Hdf5Quoted(at.path) + " is of no known kind");
    }
  }

  Status VisitGroup(hid_t group, const Pending& at) {
    if (!groups_.insert(at.address).second) {
      return Fail(ErrorCode::kUnsafe, "the group " + Hdf5Quoted(at.path) +
                                          " is linked a second time, which may make a cycle");
    }
    if (at.depth > kHdf5Depth) {
      return Fail(ErrorCode::kLimitExceeded,
                  "groups are nested more than " + std::to_string(kHdf5Depth) + " deep");
    }
    Links links{.max = limits_.tensors};
    const herr_t done = H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, nullptr, CollectLink, &links);
    if (links.no_memory) throw std::bad_alloc();
    if (links.too_many) {
      return Fail(ErrorCode::kLimitExceeded, "the group " + Hdf5Quoted(at.path) +
                                                 " has more than " +
                                                 std::to_string(limits_.tensors) + " links");
    }
    if (done < 0) {
      return Fail(Hdf5Error(ErrorCode::kCorrupt, "reading the group " + Hdf5Quoted(at.path)));
    }
    for (const Link& link : links.list) CKPT_RETURN_IF_ERROR(Follow(link, at));
    return visit_(group, at.address, Hdf5Object::Kind::kGroup, at.path);
  }

  Status Follow(const Link& link, const Pending& from) {
    const std::string path = (from.path == "/" ? "" : from.path) + "/" + link.name;
    if (link.type != H5L_TYPE_HARD) {
      const std::string_view kind = link.type == H5L_TYPE_SOFT       ? "a soft link"
                                    : link.type == H5L_TYPE_EXTERNAL ? "a link into another file"
                                                                     : "a user-defined link";
      return Fail(ErrorCode::kUnsafe,
                  Hdf5Quoted(path) + " is " + std::string(kind) + ", which is refused");
    }
    if (link.name.empty() || link.name == "." || link.name.find('/') != std::string::npos) {
      return Fail(ErrorCode::kCorrupt, Hdf5Quoted(path) + " ends in a name that no link can have");
    }
    if (path.size() > limits_.name_bytes) {
      return Fail(ErrorCode::kLimitExceeded,
                  "a path is longer than " + std::to_string(limits_.name_bytes) + " bytes");
    }
    if (!names_.Take(path.size())) return Fail(names_.Exceeded({}));
    pending_.push_back({path, link.address, from.depth + 1});
    return {};
  }

  hid_t file_;
  const Limits& limits_;
  const Hdf5Visit& visit_;
  NameBudget names_;
  std::uint64_t visited_ = 0;
  std::vector<Pending> pending_;
  std::unordered_set<haddr_t> groups_;
};

}  // namespace

Status WalkTree(hid_t file, std::uint64_t file_bytes, const Limits& limits,
                const Hdf5Visit& visit) {
  return Walk(file, file_bytes, limits, visit).Run();
}

}  // namespace ckpt::formats
