#include "engine/tape/norm_method.h"

#include "base/error.h"

namespace sotto {

const char* to_string(NormMethod method) {
  switch (method) {
    case NormMethod::ghost:
      return "ghost";
    case NormMethod::direct:
      return "direct";
    case NormMethod::stored:
      return "stored";
    case NormMethod::recomputed:
      return "recomputed";
    case NormMethod::stored_bf16:
      return "stored_bf16";
    case NormMethod::box_filter:
      return "box_filter";
  }
  throw Error(ErrorKind::internal, "a norm method without a name");
}

std::vector<NormMethod> ProductShape::methods() const {
  std::vector<NormMethod> methods = {NormMethod::stored, NormMethod::recomputed, NormMethod::stored_bf16};
  if (has_factors) methods.insert(methods.begin(), {NormMethod::ghost, NormMethod::direct});
  if (has_box_filter) methods.push_back(NormMethod::box_filter);
  return methods;
}

int64_t ProductShape::kept_bytes(NormMethod method, int64_t batch) const {
  constexpr int64_t kFloat = sizeof(float);
  if (is_stored(method)) return int64_t(c10::elementSize(stored_type(method))) * batch * elements();
  if (convolution && (method == NormMethod::recomputed || method == NormMethod::box_filter))
    return kFloat * batch * (length * rows + image);
  return int64_t(c10::elementSize(factors)) * batch * length * (rows + columns);
}

NormMethod method_by_shape(const ProductShape& shape, int64_t batch, int64_t storage_left) {
  const int64_t bytes = shape.kept_bytes(NormMethod::stored, batch);
  const bool fits = bytes <= storage_left;
  if (shape.convolution) return fits ? NormMethod::stored : NormMethod::recomputed;
  const bool pays = shape.length > 1 && bytes <= shape.kept_bytes(NormMethod::ghost, batch);
  return fits && pays ? NormMethod::stored : NormMethod::ghost;
}

}  // namespace sotto
