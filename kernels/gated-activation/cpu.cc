// An activation, and act(gate) · up for two tensors or for one that holds both halves of each row; with their gradients, which may give the result again.
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

// All arrays: n numbers; outputs are of type Y (float or Half), or D and U.
template <class Act, class Y>
void Forward(int64_t n, const float* gate, const float* up, void* out) {
  Y* y = static_cast<Y*>(out);
  for (int64_t j = 0; j < n; j += W) {
    F slope;
    StoreUpTo(y + j, Act::Both(LoadUpTo(gate + j, n - j), &slope) * LoadUpTo(up + j, n - j), n - j);
  }
}

template <class Act, class D, class U>
void Backward(int64_t n, const float* gate, const float* up, const float* dy, void* gateOut, void* upOut) {
  D* dgate = static_cast<D*>(gateOut);
  U* dup = static_cast<U*>(upOut);
  for (int64_t j = 0; j < n; j += W) {
    F slope;
    const F g = LoadUpTo(dy + j, n - j), value = Act::Both(LoadUpTo(gate + j, n - j), &slope);
    StoreUpTo(dgate + j, g * LoadUpTo(up + j, n - j) * slope, n - j);
    StoreUpTo(dup + j, g * value, n - j);
  }
}

/// Backward, with the forward's result again.
template <class Act, class D, class U, class Y>
void BackwardAgain(int64_t n, const float* gate, const float* up, const float* dy, void* gateOut, void* upOut, void* out) {
  D* dgate = static_cast<D*>(gateOut);
  U* dup = static_cast<U*>(upOut);
  Y* y = static_cast<Y*>(out);
  for (int64_t j = 0; j < n; j += W) {
    F slope;
    const F g = LoadUpTo(dy + j, n - j), u = LoadUpTo(up + j, n - j), value = Act::Both(LoadUpTo(gate + j, n - j), &slope);
    StoreUpTo(dgate + j, g * u * slope, n - j);
    StoreUpTo(dup + j, g * value, n - j);
    StoreUpTo(y + j, value * u, n - j);
  }
}

template <class Act, class Y>
void Alone(int64_t n, const float* x, void* out) {
  Y* y = static_cast<Y*>(out);
  for (int64_t j = 0; j < n; j += W) {
    F slope;
    StoreUpTo(y + j, Act::Both(LoadUpTo(x + j, n - j), &slope), n - j);
  }
}

template <class Act, class D>
void AloneBackward(int64_t n, const float* x, const float* dy, void* out) {
  D* dx = static_cast<D*>(out);
  for (int64_t j = 0; j < n; j += W) {
    F slope;
    Act::Both(LoadUpTo(x + j, n - j), &slope);
    StoreUpTo(dx + j, LoadUpTo(dy + j, n - j) * slope, n - j);
  }
}

template <class Act, class D, class Y>
void AloneAgain(int64_t n, const float* x, const float* dy, void* slopeOut, void* out) {
  D* dx = static_cast<D*>(slopeOut);
  Y* y = static_cast<Y*>(out);
  for (int64_t j = 0; j < n; j += W) {
    F slope;
    const F g = LoadUpTo(dy + j, n - j), value = Act::Both(LoadUpTo(x + j, n - j), &slope);
    StoreUpTo(dx + j, g * slope, n - j);
    StoreUpTo(y + j, value, n - j);
  }
}

/// One activation's loops, by whether their outputs are halves.
struct Loops {
  void (*forward[2])(int64_t, const float*, const float*, void*);
  void (*backward[2][2])(int64_t, const float*, const float*, const float*, void*, void*);
  void (*alone[2])(int64_t, const float*, void*);
  void (*aloneBackward[2])(int64_t, const float*, const float*, void*);
  void (*again[2][2][2])(int64_t, const float*, const float*, const float*, void*, void*, void*);
  void (*aloneAgain[2][2])(int64_t, const float*, const float*, void*, void*);
};
template <class Act>
constexpr Loops Of() {
  return {{Forward<Act, float>, Forward<Act, Half>},
          {{Backward<Act, float, float>, Backward<Act, float, Half>}, {Backward<Act, Half, float>, Backward<Act, Half, Half>}},
          {Alone<Act, float>, Alone<Act, Half>},
          {AloneBackward<Act, float>, AloneBackward<Act, Half>},
          {{{BackwardAgain<Act, float, float, float>, BackwardAgain<Act, float, float, Half>},
            {BackwardAgain<Act, float, Half, float>, BackwardAgain<Act, float, Half, Half>}},
           {{BackwardAgain<Act, Half, float, float>, BackwardAgain<Act, Half, float, Half>},
            {BackwardAgain<Act, Half, Half, float>, BackwardAgain<Act, Half, Half, Half>}}},
          {{AloneAgain<Act, float, float>, AloneAgain<Act, float, Half>}, {AloneAgain<Act, Half, float>, AloneAgain<Act, Half, Half>}}};
}

// In the order of `activations` in kernel.ts.
constexpr Loops kTable[] = {Of<Identity>(), Of<SiluGate>(), Of<GeluGate>(), Of<ReluGate>(), Of<SquaredReluGate>(), Of<SigmoidGate>(), Of<TanhGate>()};
constexpr int64_t kGrain = 8192;

void GatedActivation(const Call& c) {
  const auto forward = kTable[c.n[2]].forward[c.HalfOut(0)];
  const float *gate = c.In<float>(0), *up = c.In<float>(1);
  ParallelFor(c.n[1], kGrain, [&](int64_t b, int64_t e) { forward(e - b, gate + b, up + b, c.Result(0).Past(b).p); });
}

void GatedActivationGrad(const Call& c) {
  const auto backward = kTable[c.n[2]].backward[c.HalfOut(0)][c.HalfOut(1)];
  const float *gate = c.In<float>(0), *up = c.In<float>(1), *dy = c.In<float>(2);
  ParallelFor(c.n[1], kGrain, [&](int64_t b, int64_t e) { backward(e - b, gate + b, up + b, dy + b, c.Result(0).Past(b).p, c.Result(1).Past(b).p); });
}

void GatedActivationAgain(const Call& c) {
  const auto again = kTable[c.n[2]].again[c.HalfOut(0)][c.HalfOut(1)][c.HalfOut(2)];
  const float *gate = c.In<float>(0), *up = c.In<float>(1), *dy = c.In<float>(2);
  ParallelFor(c.n[1], kGrain, [&](int64_t b, int64_t e) {
    again(e - b, gate + b, up + b, dy + b, c.Result(0).Past(b).p, c.Result(1).Past(b).p, c.Result(2).Past(b).p);
  });
}

void Activation(const Call& c) {
  const auto alone = kTable[c.n[1]].alone[c.HalfOut(0)];
  const float* x = c.In<float>(0);
  ParallelFor(c.n[0], kGrain, [&](int64_t b, int64_t e) { alone(e - b, x + b, c.Result(0).Past(b).p); });
}

void ActivationGrad(const Call& c) {
  const auto backward = kTable[c.n[1]].aloneBackward[c.HalfOut(0)];
  const float *x = c.In<float>(0), *dy = c.In<float>(1);
  ParallelFor(c.n[0], kGrain, [&](int64_t b, int64_t e) { backward(e - b, x + b, dy + b, c.Result(0).Past(b).p); });
}

void ActivationAgain(const Call& c) {
  const auto again = kTable[c.n[1]].aloneAgain[c.HalfOut(0)][c.HalfOut(1)];
  const float *x = c.In<float>(0), *dy = c.In<float>(1);
  ParallelFor(c.n[0], kGrain, [&](int64_t b, int64_t e) { again(e - b, x + b, dy + b, c.Result(0).Past(b).p, c.Result(1).Past(b).p); });
}

// x [rows, 2F], y [rows, F].
void PackedGatedActivation(const Call& c) {
  const auto forward = kTable[c.n[2]].forward[c.HalfOut(0)];
  const int64_t rows = c.n[0], n = c.n[1];
  const float* x = c.In<float>(0);
  ParallelFor(rows, Grain(n, kGrain), [&](int64_t b, int64_t e) {
    for (int64_t r = b; r < e; ++r) forward(n, x + r * 2 * n, x + r * 2 * n + n, c.Result(0).Past(r * n).p);
  });
}

void PackedGatedActivationGrad(const Call& c) {
  const auto backward = kTable[c.n[2]].backward[c.HalfOut(0)][c.HalfOut(0)];
  const int64_t rows = c.n[0], n = c.n[1];
  const float *x = c.In<float>(0), *dy = c.In<float>(1);
  ParallelFor(rows, Grain(n, kGrain), [&](int64_t b, int64_t e) {
    for (int64_t r = b; r < e; ++r) backward(n, x + r * 2 * n, x + r * 2 * n + n, dy + r * n, c.Result(0).Past(r * 2 * n).p, c.Result(0).Past(r * 2 * n + n).p);
  });
}

/// May be halves: every output.
uint64_t Halved(const Call& c) { return c.OutBits(0, c.outputs); }

}  // namespace

LAB_KERNEL("Activation", Activation, Halved);
LAB_KERNEL("ActivationGrad", ActivationGrad, Halved);
LAB_KERNEL("ActivationAgain", ActivationAgain, Halved);
LAB_KERNEL("GatedActivation", GatedActivation, Halved);
LAB_KERNEL("GatedActivationGrad", GatedActivationGrad, Halved);
LAB_KERNEL("GatedActivationAgain", GatedActivationAgain, Halved);
LAB_KERNEL("PackedGatedActivation", PackedGatedActivation, Halved);
LAB_KERNEL("PackedGatedActivationGrad", PackedGatedActivationGrad, Halved);
