// A linear map of rows, on all threads; for kernels that need no more of product.h.
#ifndef LAB_MAPS_H
#define LAB_MAPS_H

#include <cstdint>

namespace lab {

/// y [m, n] = x [m, k] w [k, n], none with gaps. Callable from any thread; the same bits for any number of threads.
void MapRows(int64_t m, int64_t n, int64_t k, const float* x, const float* w, float* y);

}  // namespace lab

#endif
