// Asking for memory before it is read or written: rows of one head lie far apart, so the processor does not guess the next.
#ifndef LAB_SOON_H
#define LAB_SOON_H

#include "simd.h"

namespace lab {

/// Asks for `width` floats that will be read soon; past the end of an array it does nothing.
LAB_INLINE void Soon(const float* p, int64_t width) {
#if defined(__GNUC__)
  const uintptr_t at = reinterpret_cast<uintptr_t>(p);
  for (uintptr_t j = 0; j < static_cast<uintptr_t>(width) * sizeof(float); j += 64) __builtin_prefetch(reinterpret_cast<const char*>(at + j), 0, 3);
#else
  (void)p, (void)width;
#endif
}

/// The same for floats that will be written.
LAB_INLINE void SoonWritten(const float* p, int64_t width) {
#if defined(__GNUC__)
  const uintptr_t at = reinterpret_cast<uintptr_t>(p);
  for (uintptr_t j = 0; j < static_cast<uintptr_t>(width) * sizeof(float); j += 64) __builtin_prefetch(reinterpret_cast<const char*>(at + j), 1, 3);
#else
  (void)p, (void)width;
#endif
}

}  // namespace lab

#endif
