// Asking for memory before it is read or written, where it lies too far from what is at work for the processor to guess it.
#ifndef LAB_SOON_H
#define LAB_SOON_H

#include "simd.h"

namespace lab {

constexpr int64_t kLine = 16;  // floats of a line of the caches

/// Asks for the line that lies `ahead` numbers on from p and will be read soon. Addresses are reckoned as numbers, so that they may lie past the end of
/// an array: there it does nothing.
template <class T>
LAB_INLINE void SoonLine(const T* p, int64_t ahead = 0) {
#if defined(__GNUC__)
  __builtin_prefetch(reinterpret_cast<const char*>(reinterpret_cast<uintptr_t>(p) + static_cast<uintptr_t>(ahead) * sizeof(T)));
#else
  (void)p, (void)ahead;
#endif
}
/// The same for all lines of `width` numbers.
template <class T>
LAB_INLINE void Soon(const T* p, int64_t width, int64_t ahead = 0) {
  for (int64_t j = 0; j < width; j += static_cast<int64_t>(64 / sizeof(T))) SoonLine(p, ahead + j);
}
/// As SoonLine and Soon, into the second-level cache only: for what is wanted so much later, or so many lines that share a place, that the first
/// would lose them again.
template <class T>
LAB_INLINE void LaterLine(const T* p, int64_t ahead = 0) {
#if defined(__GNUC__)
  __builtin_prefetch(reinterpret_cast<const char*>(reinterpret_cast<uintptr_t>(p) + static_cast<uintptr_t>(ahead) * sizeof(T)), 0, 2);
#else
  (void)p, (void)ahead;
#endif
}
LAB_INLINE void Later(const float* p, int64_t width, int64_t ahead = 0) {
  for (int64_t j = 0; j < width; j += kLine) LaterLine(p, ahead + j);
}
/// The same as Soon for numbers that will be written.
template <class T>
LAB_INLINE void SoonWritten(const T* p, int64_t width) {
#if defined(__GNUC__)
  const uintptr_t at = reinterpret_cast<uintptr_t>(p);
  for (uintptr_t j = 0; j < static_cast<uintptr_t>(width) * sizeof(T); j += 64) __builtin_prefetch(reinterpret_cast<const char*>(at + j), 1, 3);
#else
  (void)p, (void)width;
#endif
}

}  // namespace lab

#endif
