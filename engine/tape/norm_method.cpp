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
  }
  throw Error(ErrorKind::internal, "a norm method without a name");
}

std::vector<NormMethod> ProductShape::methods() const {
  if (!has_factors) return {NormMethod::stored, NormMethod::recomputed};
  return {std::begin(kNormMethods), std::end(kNormMethods)};
}

int64_t ProductShape::kept_bytes(NormMethod method, int64_t batch) const {
  constexpr int64_t kFloat = sizeof(float);
  if (method == NormMethod::stored) return kFloat * batch * elements();
  if (convolution && method == NormMethod::recomputed) return kFloat * batch * (length * rows + image);
  return kFloat * batch * length * (rows + columns);
}

NormMethod method_by_shape(const ProductShape& shape, int64_t batch, int64_t storage_left) {
  const int64_t bytes = shape.kept_bytes(NormMethod::stored, batch);
  const bool fits = bytes <= storage_left;
  if (shape.convolution) return fits ? NormMethod::stored : NormMethod::recomputed;
  const bool pays = shape.length > 1 && bytes <= shape.kept_bytes(NormMethod::ghost, batch);
  return fits && pays ? NormMethod::stored : NormMethod::ghost;
}

}  // namespace sotto
