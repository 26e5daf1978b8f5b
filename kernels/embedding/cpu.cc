// Embedding look-up; its gradient sorts the places by id (counting), then each table row adds its own places in order.
#include <algorithm>
#include <atomic>
#include <cstring>

#include "../core/lab.h"
#include "../core/rows.h"

namespace {

using namespace lab;

constexpr const char* kOutside = "Embedding: an id is not in 0..vocabulary-1; check the tokens against the vocabulary's size";

// table [V, D], ids [count] to y [count, D].
void Embedding(const Call& c) {
  const int64_t V = c.n[0], D = c.n[1], count = c.n[2];
  const float* table = c.In<float>(0);
  const int32_t* ids = c.In<int32_t>(1);
  float* y = c.Out<float>(0);
  std::atomic<bool> outside{false};
  ParallelFor(count, Grain(D), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (ids[i] < 0 || ids[i] >= V)
        outside = true;
      else
        std::memcpy(y + i * D, table + ids[i] * D, static_cast<size_t>(D) * sizeof(float));
    }
  });
  if (outside) c.Fail(kOutside);
}

// ids [count], dy [count, D] to dtable [V, D].
void EmbeddingGrad(const Call& c) {
  const int64_t V = c.n[0], D = c.n[1], count = c.n[2];
  const int32_t* ids = c.In<int32_t>(1);
  const float* dy = c.In<float>(2);
  float* dtable = c.Out<float>(0);
  Scratch sorting(V + 1 + std::max<int64_t>(count, 1));
  int32_t* first = sorting.As<int32_t>();  // places of id v, sorted: order[first[v]] .. order[first[v + 1] - 1]
  int32_t* order = first + V + 1;
  std::fill_n(first, V + 1, 0);
  for (int64_t i = 0; i < count; ++i) {
    if (ids[i] < 0 || ids[i] >= V) return c.Fail(kOutside);
    ++first[ids[i]];
  }
  for (int64_t v = 1; v <= V; ++v) first[v] += first[v - 1];
  for (int64_t i = count - 1; i >= 0; --i) order[--first[ids[i]]] = static_cast<int32_t>(i);
  ParallelFor(V, Grain((count / std::max<int64_t>(V, 1) + 1) * D), [&](int64_t begin, int64_t end) {
    for (int64_t v = begin; v < end; ++v) {
      float* d = dtable + v * D;
      std::fill_n(d, D, 0.0f);
      for (int32_t p = first[v]; p < first[v + 1]; ++p) {
        const float* g = dy + order[p] * D;
        for (int64_t j = 0; j < D; j += W) StoreUpTo(d + j, LoadUpTo(d + j, D - j) + LoadUpTo(g + j, D - j), D - j);
      }
    }
  });
}

}  // namespace

LAB_KERNEL("Embedding", Embedding);
LAB_KERNEL("EmbeddingGrad", EmbeddingGrad);
