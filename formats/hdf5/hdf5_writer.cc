#include "formats/hdf5/hdf5_writer.h"

namespace ckpt::formats {
namespace {

tl::unexpected<Error> NotYet() { return Fail(ErrorCode::kUnsupported, "HDF5 is not written yet"); }

}  // namespace

struct Hdf5Writer::State {};

Hdf5Writer::Hdf5Writer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Hdf5Writer::~Hdf5Writer() = default;

Status Hdf5CanHold(Dtype, const Shape&) { return NotYet(); }
Result<std::unique_ptr<Hdf5Writer>> Hdf5Writer::Create(const std::filesystem::path&) {
  return NotYet();
}
Status Hdf5Writer::CreateGroup(const std::string&) { return NotYet(); }
Status Hdf5Writer::SetText(const std::string&, const std::string&, std::string_view, Charset) {
  return NotYet();
}
Status Hdf5Writer::SetTexts(const std::string&, const std::string&, std::span<const std::string>,
                            StringKind, Charset) {
  return NotYet();
}
Status Hdf5Writer::CreateDataset(const std::string&, Dtype, const Shape&) { return NotYet(); }
Status Hdf5Writer::Append(std::span<const std::byte>) { return NotYet(); }
Status Hdf5Writer::Close() { return NotYet(); }

}  // namespace ckpt::formats
