#pragma once

namespace sotto::kernels {

// g++ and nvcc both have it, as an extension.
__extension__ typedef unsigned __int128 Uint128;

inline constexpr Uint128 kLargestUint128 = ~Uint128{0};

}  // namespace sotto::kernels
