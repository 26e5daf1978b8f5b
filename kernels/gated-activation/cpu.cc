// An activation, and act(gate) · up for two tensors or for one that holds both halves of each row; with their gradients.
#include "../core/lab.h"
#include "../core/rows.h"

namespace {

using namespace lab;

// Each activation gives its value and its derivative; unused halves are optimised away.
struct Identity {
  LAB_INLINE static F Both(F u, F* slope) { *slope = F(1.0f); return u; }
};
struct SiluGate {
  LAB_INLINE static F Both(F u, F* slope) {
    const F open = Sigmoid(u), value = u * open;
    *slope = Fma(value, F(1.0f) - open, open);
    return value;
  }
};
struct GeluGate {  // tanh form
  LAB_INLINE static F Both(F u, F* slope) {
    const F root(0.7978845608028654f), square = u * u;
    const F t = Tanh(root * u * Fma(square, F(0.044715f), F(1.0f)));
    const F half = F(0.5f) * (F(1.0f) + t);
    *slope = Fma(F(0.5f) * u * (F(1.0f) - t * t), root * Fma(square, F(3.0f * 0.044715f), F(1.0f)), half);
    return u * half;
  }
};
struct ReluGate {
  LAB_INLINE static F Both(F u, F* slope) {
    *slope = Select(Gt(u, F(0.0f)), F(1.0f), F(0.0f));
    return Max(F(0.0f), u);  // NaN passes: Max gives its second argument then
  }
};
struct SquaredReluGate {
  LAB_INLINE static F Both(F u, F* slope) {
    const F r = Max(F(0.0f), u);
    *slope = r + r;
    return r * r;
  }
};
struct SigmoidGate {
  LAB_INLINE static F Both(F u, F* slope) {
    const F open = Sigmoid(u);
    *slope = open * (F(1.0f) - open);
    return open;
  }
};
struct TanhGate {
  LAB_INLINE static F Both(F u, F* slope) {
    const F t = Tanh(u);
    *slope = F(1.0f) - t * t;
    return t;
  }
};

// All arrays: n floats.
template <class Act>
void Forward(int64_t n, const float* gate, const float* up, float* y) {
  for (int64_t j = 0; j < n; j += W) {
    F slope;
    StoreUpTo(y + j, Act::Both(LoadUpTo(gate + j, n - j), &slope) * LoadUpTo(up + j, n - j), n - j);
  }
}

template <class Act>
void Backward(int64_t n, const float* gate, const float* up, const float* dy, float* dgate, float* dup) {
  for (int64_t j = 0; j < n; j += W) {
    F slope;
    const F g = LoadUpTo(dy + j, n - j), value = Act::Both(LoadUpTo(gate + j, n - j), &slope);
    StoreUpTo(dgate + j, g * LoadUpTo(up + j, n - j) * slope, n - j);
    StoreUpTo(dup + j, g * value, n - j);
  }
}

template <class Act>
void Alone(int64_t n, const float* x, float* y) {
  for (int64_t j = 0; j < n; j += W) {
    F slope;
    StoreUpTo(y + j, Act::Both(LoadUpTo(x + j, n - j), &slope), n - j);
  }
}

template <class Act>
void AloneBackward(int64_t n, const float* x, const float* dy, float* dx) {
  for (int64_t j = 0; j < n; j += W) {
    F slope;
    Act::Both(LoadUpTo(x + j, n - j), &slope);
    StoreUpTo(dx + j, LoadUpTo(dy + j, n - j) * slope, n - j);
  }
}

struct Pair {
  void (*forward)(int64_t, const float*, const float*, float*);
  void (*backward)(int64_t, const float*, const float*, const float*, float*, float*);
  void (*alone)(int64_t, const float*, float*);
  void (*aloneBackward)(int64_t, const float*, const float*, float*);
};
template <class Act>
constexpr Pair Of() { return {Forward<Act>, Backward<Act>, Alone<Act>, AloneBackward<Act>}; }

// In the order of `activations` in kernel.ts.
constexpr Pair kTable[] = {Of<Identity>(), Of<SiluGate>(), Of<GeluGate>(), Of<ReluGate>(), Of<SquaredReluGate>(), Of<SigmoidGate>(), Of<TanhGate>()};
constexpr int64_t kGrain = 8192;

void GatedActivation(const Call& c) {
  const Pair act = kTable[c.n[2]];
  const float *gate = c.In<float>(0), *up = c.In<float>(1);
  float* y = c.Out<float>(0);
  ParallelFor(c.n[1], kGrain, [&](int64_t b, int64_t e) { act.forward(e - b, gate + b, up + b, y + b); });
}

void GatedActivationGrad(const Call& c) {
  const Pair act = kTable[c.n[2]];
  const float *gate = c.In<float>(0), *up = c.In<float>(1), *dy = c.In<float>(2);
  float *dgate = c.Out<float>(0), *dup = c.Out<float>(1);
  ParallelFor(c.n[1], kGrain, [&](int64_t b, int64_t e) { act.backward(e - b, gate + b, up + b, dy + b, dgate + b, dup + b); });
}

void Activation(const Call& c) {
  const Pair act = kTable[c.n[1]];
  const float* x = c.In<float>(0);
  float* y = c.Out<float>(0);
  ParallelFor(c.n[0], kGrain, [&](int64_t b, int64_t e) { act.alone(e - b, x + b, y + b); });
}

void ActivationGrad(const Call& c) {
  const Pair act = kTable[c.n[1]];
  const float *x = c.In<float>(0), *dy = c.In<float>(1);
  float* dx = c.Out<float>(0);
  ParallelFor(c.n[0], kGrain, [&](int64_t b, int64_t e) { act.aloneBackward(e - b, x + b, dy + b, dx + b); });
}

// x [rows, 2F], y [rows, F].
void PackedGatedActivation(const Call& c) {
  const Pair act = kTable[c.n[2]];
  const int64_t rows = c.n[0], n = c.n[1];
  const float* x = c.In<float>(0);
  float* y = c.Out<float>(0);
  ParallelFor(rows, Grain(n, kGrain), [&](int64_t b, int64_t e) {
    for (int64_t r = b; r < e; ++r) act.forward(n, x + r * 2 * n, x + r * 2 * n + n, y + r * n);
  });
}

void PackedGatedActivationGrad(const Call& c) {
  const Pair act = kTable[c.n[2]];
  const int64_t rows = c.n[0], n = c.n[1];
  const float *x = c.In<float>(0), *dy = c.In<float>(1);
  float* dx = c.Out<float>(0);
  ParallelFor(rows, Grain(n, kGrain), [&](int64_t b, int64_t e) {
    for (int64_t r = b; r < e; ++r)
      act.backward(n, x + r * 2 * n, x + r * 2 * n + n, dy + r * n, dx + r * 2 * n, dx + r * 2 * n + n);
  });
}

}  // namespace

LAB_KERNEL("Activation", Activation);
LAB_KERNEL("ActivationGrad", ActivationGrad);
LAB_KERNEL("GatedActivation", GatedActivation);
LAB_KERNEL("GatedActivationGrad", GatedActivationGrad);
LAB_KERNEL("PackedGatedActivation", PackedGatedActivation);
LAB_KERNEL("PackedGatedActivationGrad", PackedGatedActivationGrad);
