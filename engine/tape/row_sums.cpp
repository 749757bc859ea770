#include "engine/tape/row_sums.h"

namespace sotto {

at::Tensor row_sums(const at::Tensor& rows, const at::Tensor& targets, int64_t count) {
  std::vector<int64_t> sizes = rows.sizes().vec();
  sizes[0] = count;
  at::Tensor sums = at::zeros(sizes, rows.options());
  return rows.is_cuda() ? sums.index_put_({targets}, rows, /*accumulate=*/true) : sums.index_add_(0, targets, rows);
}

}  // namespace sotto
