// What a kernel may use: its call, the registry, parallel loops, scratch memory, vectors and the single-threaded matrix product.
//
// A kernel is a function `void Name(const lab::Call& c)` in some kernels/<folder>/<file>.cc, registered by LAB_KERNEL("Name", Name).
// The whole of kernels/ is compiled once per instruction set into an addon of its own, so W and F below are fixed at compile time.
// Kernels trust their arguments (JavaScript has checked shapes and types), write every element of every output, must not read an
// output before writing it, don't throw, and give the same bits for any number of threads.
#ifndef LAB_H
#define LAB_H

#include <cstddef>
#include <cstdint>

#include "halves.h"
#include "simd.h"

namespace lab {

/// One call from JavaScript.
struct Call {
  const void* const* in;   // pointers in the order of kernel.ts `inputs`; nullptr where an optional one is absent
  void* const* out;        // pointers in the order of `outputs(...)`
  const int64_t* n;        // what `ints(...)` gave
  const double* f;         // what `floats(...)` gave
  int inputs;              // how many there are of each
  int outputs;
  int ints;
  int floats;
  const char** error;      // set by Fail
  /// Bit i: argument i (inputs, then outputs) holds bfloat16. Only a captured step has any, and only where the kernel's `able` allows it.
  uint64_t halves = 0;

  template <class T>
  const T* In(int i) const { return static_cast<const T*>(in[i]); }
  template <class T>
  T* Out(int i) const { return static_cast<T*>(out[i]); }
  bool HalfIn(int i) const { return halves >> i & 1; }
  bool HalfOut(int i) const { return halves >> (inputs + i) & 1; }
  Stored Given(int i) const { return {in[i], HalfIn(i)}; }
  Room Result(int i) const { return {out[i], HalfOut(i)}; }
  /// The bits of HalfIn(i) and HalfOut(i), and those of `count` outputs from `first` on.
  static uint64_t InBit(int i) { return uint64_t{1} << i; }
  uint64_t OutBit(int i) const { return uint64_t{1} << (inputs + i); }
  uint64_t OutBits(int first, int count) const { return ((uint64_t{1} << count) - 1) << (inputs + first); }
  /// Makes the call throw in JavaScript, with `sentence` (a literal: it isn't copied). Return right after.
  void Fail(const char* sentence) const { *error = sentence; }
};

using Kernel = void (*)(const Call&);
/// Which arguments may hold bfloat16 under SetBfloat16(true), as bits of `Call::halves`, each whatever the others hold: inputs that the kernel rounds
/// before it does anything else with them, as products do, and any outputs. Of the call only numbers and counts are there. Arguments 0 to 29 only.
using Able = uint64_t (*)(const Call&);

/// Adds a kernel to the table that JavaScript sees; use LAB_KERNEL.
struct Registration {
  Registration(const char* name, Kernel kernel, Able able = nullptr);
};

#define LAB_JOIN_(a, b) a##b
#define LAB_JOIN(a, b) LAB_JOIN_(a, b)
/// LAB_KERNEL(name, kernel) or LAB_KERNEL(name, kernel, able), at namespace scope, after the functions. Names are global: one registration each.
#define LAB_KERNEL(name, ...) static const ::lab::Registration LAB_JOIN(labKernel, __COUNTER__)(name, __VA_ARGS__)

// ---------------------------------------------------------------- parallel loops

/// Threads that loops may use, the caller included (1 or more).
int Threads();
void SetThreads(int threads);
/// Stops the workers; they start again with the next loop.
void StopThreads();

/// Calls `run(context, part)` for part = 0..parts-1, in no fixed order, on several threads; returns when all are done.
void RunParts(int64_t parts, void (*run)(void* context, int64_t part), void* context);

/// Calls `body(begin, end)` for [0, grain), [grain, 2 grain) ... up to count. The parts depend on count and grain only, never on the number
/// of threads: a kernel that keeps one partial sum per part (index begin / grain) gives the same bits on any machine of one instruction set.
/// Choose `grain` so that a part is at least some 10 microseconds of work. A loop inside a loop runs on its own thread, in order.
template <class Body>
void ParallelFor(int64_t count, int64_t grain, Body&& body) {
  if (count <= 0) return;
  if (grain < 1) grain = 1;
  if (count <= grain) {
    body(int64_t{0}, count);
    return;
  }
  struct Context {
    Body* body;
    int64_t count, grain;
  } context{&body, count, grain};
  RunParts((count + grain - 1) / grain, [](void* p, int64_t part) {
    const Context& x = *static_cast<Context*>(p);
    const int64_t begin = part * x.grain;
    const int64_t end = begin + x.grain < x.count ? begin + x.grain : x.count;
    (*x.body)(begin, end);
  }, &context);
}

/// A grain that gives each part about `target` units of work, when one item is `perItem` units (say, floats touched).
inline int64_t Grain(int64_t perItem, int64_t target = 16384) {
  return perItem >= target ? 1 : target / (perItem > 0 ? perItem : 1);
}

// ---------------------------------------------------------------- scratch

/// `floats` floats of this thread's arena, 64-byte aligned, not initialised (NaN in tests), given back at the end of the scope.
/// Blocks are given back in reverse order, so keep it a local variable. One made outside a ParallelFor may be read and written inside.
class Scratch {
 public:
  explicit Scratch(int64_t floats);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  float* data() { return data_; }
  const float* data() const { return data_; }
  operator float*() { return data_; }
  template <class T>
  T* As() { return reinterpret_cast<T*>(data_); }

 private:
  float* data_;
  int block_;
  size_t used_;
};

/// Asks the system for large pages where memory that isn't written yet spans whole ones: rows far apart then find their addresses sooner.
void AdviseLargePages(void* memory, size_t bytes);

/// In tests: fill scratch with NaN, so that a read before a write shows.
void SetPoison(bool on);

// ---------------------------------------------------------------- matrix product

/// C = alpha op(A) op(B) + beta C, row-major, on the calling thread; callable inside ParallelFor.
/// op(A) is [m, k], op(B) is [k, n], C is [m, n]. A is stored [m, lda] or, transposed, [k, lda]; B [k, ldb] or [n, ldb].
/// With beta = 0, C is only written (it may hold NaN). k = 0 gives beta C. C must not overlap A or B.
/// Under SetBfloat16(true) the elements of A and B are rounded to bfloat16 first; sums stay float32.
void Gemm(bool transA, bool transB, int64_t m, int64_t n, int64_t k, float alpha, const float* A, int64_t lda, const float* B,
          int64_t ldb, float beta, float* C, int64_t ldc);

/// Products round their inputs to bfloat16 (precision 'bfloat16').
void SetBfloat16(bool on);
bool Bfloat16();

}  // namespace lab

#endif
