// A checkpoint in front of another one: what a wrapper does not change is passed on.
#pragma once

#include <memory>
#include <optional>

#include "ckpt/checkpoint.h"
#include "ckpt/layer_origin.h"

namespace ckpt {

// A wrapper overrides what it changes and nothing else, so that none loses by omission what the one
// behind it has. One that moves, adds or takes away tensors overrides manifest(), Open() and
// PlaceOf() together.
class ForwardingCheckpoint : public Checkpoint, public RecordsOrigins {
 public:
  std::string_view format() const noexcept override { return inner_.format(); }
  const Manifest& manifest() const noexcept override { return inner_.manifest(); }
  Result<std::unique_ptr<TensorStream>> Open(TensorId id) const override { return inner_.Open(id); }
  // The network of the inner one over the tensors of this one. kUnsupported, naming the tensor,
  // where it reads one that has no place here.
  Result<network::Network> MakeNetwork() const override;
  // One that has another graph overrides this, too.
  const std::vector<LayerOrigin>& origins() const noexcept override { return OriginsOf(inner_); }

 protected:
  // REQUIRES: `inner` outlives the object.
  explicit ForwardingCheckpoint(const Checkpoint& inner) : inner_(inner) {
    set_input_name(inner.input_name());
  }
  explicit ForwardingCheckpoint(std::unique_ptr<Checkpoint> inner)
      : owned_(std::move(inner)), inner_(*owned_) {
    set_input_name(inner_.input_name());
  }

  const Checkpoint& inner() const noexcept { return inner_; }
  // Where a tensor of inner() stands here: one that its network may read instead, of the same shape
  // and meaning. nullopt: there is none.
  virtual std::optional<TensorId> PlaceOf(TensorId inner) const { return inner; }

 private:
  std::unique_ptr<Checkpoint> owned_;  // null: owned by someone else
  const Checkpoint& inner_;
};

// The same with a manifest of its own, which is a copy of the inner one's to begin with.
class RewrittenCheckpoint : public ForwardingCheckpoint {
 public:
  const Manifest& manifest() const noexcept override { return manifest_; }

 protected:
  explicit RewrittenCheckpoint(const Checkpoint& inner)
      : ForwardingCheckpoint(inner), manifest_(inner.manifest()) {}
  explicit RewrittenCheckpoint(std::unique_ptr<Checkpoint> checkpoint)
      : ForwardingCheckpoint(std::move(checkpoint)), manifest_(inner().manifest()) {}

  Manifest manifest_;
};

}  // namespace ckpt
