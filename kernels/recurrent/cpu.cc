// LSTM and GRU: one task runs all tokens of a few rows of the batch, which share the loads of the recurrent weights.
//
//   LSTM  a = x + h W,  c' = s(a_f) c + s(a_i) tanh(a_g),  h' = s(a_o) tanh(c')
//   GRU   a = h W + bias,  n = tanh(x_n + s(x_r + a_r) a_n),  h' = n + z (h - n) with z = s(x_z + a_z)
#include <algorithm>

#include "../core/lab.h"
#include "../core/maps.h"
#include "../core/rows.h"
#include "../core/tile.h"

namespace {

using namespace lab;

constexpr int64_t kRows = 4;                   // most rows of the batch that a task runs together
constexpr int64_t kPanel = kStripVectors * W;  // columns of the weights that lie together, so that a product reads on and on
constexpr int64_t kStrip = 4 * kPanel;         // most columns of the weights' gradient that a task sums
constexpr int kLstm = 4, kGru = 3;             // gates
enum LstmKept { kIn, kForget, kNew, kOut, kCell, kLstmKept };
enum GruKept { kReset, kKeep, kCandidate, kShare, kGruKept };

struct Sizes {
  int64_t B, T, h, rows, tiles;  // rows: of a task, fewer where there would not be one for each thread; a row's numbers are the same whatever goes with it
  explicit Sizes(const Call& c)
      : B(c.n[0]), T(c.n[1]), h(c.n[2]), rows(std::max<int64_t>(1, std::min<int64_t>(kRows, B / Threads()))), tiles((B + rows - 1) / rows) {}
};

// A matrix [k, n] in panels of kPanel columns, [panels, k, kPanel].
class Panels {
 public:
  // From `from` [k, n], or with `turned` from [n, k].
  Panels(const float* from, int64_t k, int64_t n, bool turned) : k_(k), n_(n), panels_(std::max<int64_t>(1, k * ((n + kPanel - 1) / kPanel) * kPanel)) {
    ParallelFor((n + kPanel - 1) / kPanel, Grain(k * kPanel), [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) {
        float* to = panels_ + p * k * kPanel;
        const int64_t width = std::min(kPanel, n - p * kPanel);
        if (turned)
          Transpose(width, k, {from + p * kPanel * k, k}, {to, kPanel});
        else
          for (int64_t i = 0; i < k; ++i) std::copy_n(from + i * n + p * kPanel, width, to + i * kPanel);
      }
    });
  }
  // to [rows, n] = a times the matrix.
  void Times(int64_t rows, Factor a, float* to) const {
    for (int64_t j = 0; j < n_; j += kPanel)
      Product(rows, std::min(kPanel, n_ - j), k_, a, {panels_.data() + j * k_, kPanel}, {to + j, n_}, false);
  }

 private:
  int64_t k_, n_;
  Scratch panels_;
};

// Calls at(token, t, row, state) for the tokens of all rows from the first on: `state` [n] is the share of the gates that the output y before gives by
// `panels`, zeros before the first. `token`: of all tokens, `row`: of the batch.
template <class At>
void Ahead(const Sizes& s, int64_t n, const Panels& panels, const float* y, At&& at) {
  ParallelFor(s.tiles, 1, [&](int64_t begin, int64_t end) {
    Scratch mixed(kRows * n);
    for (int64_t tile = begin; tile < end; ++tile) {
      const int64_t b0 = tile * s.rows, rows = std::min(s.rows, s.B - b0);
      std::fill_n(mixed.data(), rows * n, 0.0f);
      for (int64_t t = 0; t < s.T; ++t) {
        if (t > 0) panels.Times(rows, {y + (b0 * s.T + t - 1) * s.h, s.T * s.h, 1}, mixed);
        for (int64_t row = 0; row < rows; ++row) at((b0 + row) * s.T + t, t, b0 + row, mixed + row * n);
      }
    }
  });
}

// Calls at(token, t, row, given, kept) likewise from the last token back, [h] each: `given` is what the slopes of the share, [B, T, n], give by `panels`
// to the token before, `kept` what `at` leaves there; zeros behind the last.
template <class At>
void Back(const Sizes& s, int64_t n, const Panels& panels, const float* slopes, At&& at) {
  ParallelFor(s.tiles, 1, [&](int64_t begin, int64_t end) {
    Scratch given(kRows * s.h), kept(kRows * s.h);
    for (int64_t tile = begin; tile < end; ++tile) {
      const int64_t b0 = tile * s.rows, rows = std::min(s.rows, s.B - b0);
      for (float* carried : {given.data(), kept.data()}) std::fill_n(carried, rows * s.h, 0.0f);
      for (int64_t t = s.T - 1; t >= 0; --t) {
        for (int64_t row = 0; row < rows; ++row) at((b0 + row) * s.T + t, t, b0 + row, given + row * s.h, kept + row * s.h);
        if (t > 0) panels.Times(rows, {slopes + (b0 * s.T + t) * n, s.T * n, 1}, given);
      }
    }
  });
}

// dw [h, n] = Σ over sequences and tokens of the output before times slopes [B, T, n].
void WeightGradient(const Sizes& s, int64_t n, const float* y, const float* slopes, float* dw) {
  const int64_t panels = (n + kPanel - 1) / kPanel, strip = std::max<int64_t>(1, std::min<int64_t>(kStrip / kPanel, panels / Threads())) * kPanel;
  ParallelFor((n + strip - 1) / strip, 1, [&](int64_t begin, int64_t end) {
    for (int64_t j = begin * strip; j < std::min(n, end * strip); j += strip) {
      const int64_t width = std::min(strip, n - j);
      if (s.B == 0)
        for (int64_t i = 0; i < s.h; ++i) std::fill_n(dw + i * n + j, width, 0.0f);
      for (int64_t b = 0; b < s.B; ++b)
        Gemm(true, false, s.h, width, std::max<int64_t>(0, s.T - 1), 1.0f, y + b * s.T * s.h, s.h, slopes + (b * s.T + 1) * n + j, n, b == 0 ? 0.0f : 1.0f,
             dw + j, n);
    }
  });
}

// ---------------------------------------------------------------- LSTM

struct LstmToken {
  F in, forget, fresh, out, cell, h;
};
// Channels j .. of one token: x and state [4 h] are the shares of the gates, old the cell before.
LAB_INLINE LstmToken LstmAt(int64_t h, int64_t j, int64_t left, const float* x, const float* state, F old) {
  F a[kLstm];
  for (int k = 0; k < kLstm; ++k) a[k] = LoadUpTo(x + k * h + j, left) + LoadUpTo(state + k * h + j, left);
  LstmToken t;
  t.in = Sigmoid(a[0]), t.forget = Sigmoid(a[1]), t.fresh = Tanh(a[2]), t.out = Sigmoid(a[3]);
  t.cell = Fma(t.forget, old, t.in * t.fresh);
  t.h = t.out * Tanh(t.cell);
  return t;
}

void Lstm(const Call& c) {
  const Sizes s(c);
  const float *gates = c.In<float>(0), *w = c.In<float>(1);
  float *y = c.Out<float>(0), *kept = c.Out<float>(1);
  const int64_t h = s.h, n = kLstm * h;
  Ahead(s, n, Panels(w, h, n, false), y, [&](int64_t token, int64_t t, int64_t, const float* state) {
    float* keep = kept + token * kLstmKept * h;
    for (int64_t j = 0; j < h; j += W) {
      const int64_t left = h - j;
      const F old = t > 0 ? LoadUpTo(keep - (kLstmKept - kCell) * h + j, left) : F(0.0f);
      const LstmToken at = LstmAt(h, j, left, gates + token * n, state, old);
      StoreUpTo(keep + kIn * h + j, at.in, left);
      StoreUpTo(keep + kForget * h + j, at.forget, left);
      StoreUpTo(keep + kNew * h + j, at.fresh, left);
      StoreUpTo(keep + kOut * h + j, at.out, left);
      StoreUpTo(keep + kCell * h + j, at.cell, left);
      StoreUpTo(y + token * h + j, at.h, left);
    }
  });
}

void LstmGrad(const Call& c) {
  const Sizes s(c);
  const float *w = c.In<float>(0), *y = c.In<float>(1), *kept = c.In<float>(2), *dy = c.In<float>(3);
  float *dgates = c.Out<float>(0), *dw = c.Out<float>(1);
  const int64_t h = s.h, n = kLstm * h;
  Back(s, n, Panels(w, n, h, true), dgates, [&](int64_t token, int64_t t, int64_t, const float* dh, float* dc) {
    const float* keep = kept + token * kLstmKept * h;
    float* slopes = dgates + token * n;
    for (int64_t j = 0; j < h; j += W) {
      const int64_t left = h - j;
      const auto read = [&](LstmKept which) { return LoadUpTo(keep + which * h + j, left); };
      const F one(1.0f), in = read(kIn), forget = read(kForget), fresh = read(kNew), out = read(kOut), tanh = Tanh(read(kCell));
      const F old = t > 0 ? LoadUpTo(keep - (kLstmKept - kCell) * h + j, left) : F(0.0f);
      const F up = LoadUpTo(dh + j, left) + LoadUpTo(dy + token * h + j, left);
      const F cell = Fma(up * out, one - tanh * tanh, LoadUpTo(dc + j, left));
      StoreUpTo(slopes + j, cell * fresh * in * (one - in), left);
      StoreUpTo(slopes + h + j, cell * old * forget * (one - forget), left);
      StoreUpTo(slopes + 2 * h + j, cell * in * (one - fresh * fresh), left);
      StoreUpTo(slopes + 3 * h + j, up * tanh * out * (one - out), left);
      StoreUpTo(dc + j, cell * forget, left);
    }
  });
  WeightGradient(s, n, y, dgates, dw);
}

void LstmStep(const Call& c) {
  const Sizes s(c);
  const float *gates = c.In<float>(0), *w = c.In<float>(1), *h = c.In<float>(2), *cell = c.In<float>(3);
  float *nextH = c.Out<float>(0), *nextC = c.Out<float>(1);
  const int64_t n = kLstm * s.h;
  Scratch mixed(std::max<int64_t>(1, s.B * n));
  MapRows(s.B, n, s.h, h, w, mixed);  // the state's share of the gates
  ParallelFor(s.B, Grain(n), [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b)
      for (int64_t j = 0; j < s.h; j += W) {
        const int64_t left = s.h - j;
        const LstmToken at = LstmAt(s.h, j, left, gates + b * n, mixed + b * n, LoadUpTo(cell + b * s.h + j, left));
        StoreUpTo(nextH + b * s.h + j, at.h, left);
        StoreUpTo(nextC + b * s.h + j, at.cell, left);
      }
  });
}

// ---------------------------------------------------------------- GRU

struct GruToken {
  F reset, keep, candidate, share, h;
};
// Channels j .. of one token: x and state [3 h] are the shares of the gates, bias [3 h] or nullptr belongs to the state's.
LAB_INLINE GruToken GruAt(int64_t h, int64_t j, int64_t left, const float* x, const float* state, const float* bias, F old) {
  F a[kGru];
  for (int k = 0; k < kGru; ++k) {
    a[k] = LoadUpTo(state + k * h + j, left);
    if (bias) a[k] += LoadUpTo(bias + k * h + j, left);
  }
  GruToken t;
  t.reset = Sigmoid(LoadUpTo(x + j, left) + a[0]);
  t.keep = Sigmoid(LoadUpTo(x + h + j, left) + a[1]);
  t.share = a[2];
  t.candidate = Tanh(Fma(t.reset, t.share, LoadUpTo(x + 2 * h + j, left)));
  t.h = Fma(t.keep, old - t.candidate, t.candidate);
  return t;
}

void Gru(const Call& c) {
  const Sizes s(c);
  const float *gates = c.In<float>(0), *w = c.In<float>(1), *bias = c.In<float>(2);
  float *y = c.Out<float>(0), *kept = c.Out<float>(1);
  const int64_t h = s.h, n = kGru * h;
  Ahead(s, n, Panels(w, h, n, false), y, [&](int64_t token, int64_t t, int64_t, const float* state) {
    float* keep = kept + token * kGruKept * h;
    for (int64_t j = 0; j < h; j += W) {
      const int64_t left = h - j;
      const F old = t > 0 ? LoadUpTo(y + (token - 1) * h + j, left) : F(0.0f);
      const GruToken at = GruAt(h, j, left, gates + token * n, state, bias, old);
      StoreUpTo(keep + kReset * h + j, at.reset, left);
      StoreUpTo(keep + kKeep * h + j, at.keep, left);
      StoreUpTo(keep + kCandidate * h + j, at.candidate, left);
      StoreUpTo(keep + kShare * h + j, at.share, left);
      StoreUpTo(y + token * h + j, at.h, left);
    }
  });
}

void GruGrad(const Call& c) {
  const Sizes s(c);
  const float *w = c.In<float>(0), *y = c.In<float>(1), *kept = c.In<float>(2), *dy = c.In<float>(3);
  float *dgates = c.Out<float>(0), *dw = c.Out<float>(1), *dbias = c.Out<float>(2);
  const int64_t h = s.h, n = kGru * h;
  // side: slopes of the state's share, which differ from those of the input's in the candidate; sums: of them, a row.
  Scratch side(std::max<int64_t>(1, s.B * s.T * n)), sums(std::max<int64_t>(1, s.B * n));
  std::fill_n(sums.data(), s.B * n, 0.0f);
  Back(s, n, Panels(w, n, h, true), side, [&](int64_t token, int64_t t, int64_t row, const float* through, float* dh) {
    const float* keep = kept + token * kGruKept * h;
    float *slopes = dgates + token * n, *own = side + token * n, *sum = sums + row * n;
    for (int64_t j = 0; j < h; j += W) {
      const int64_t left = h - j;
      const auto read = [&](GruKept which) { return LoadUpTo(keep + which * h + j, left); };
      const F one(1.0f), reset = read(kReset), stay = read(kKeep), candidate = read(kCandidate);
      const F old = t > 0 ? LoadUpTo(y + (token - 1) * h + j, left) : F(0.0f);
      const F up = LoadUpTo(dh + j, left) + LoadUpTo(through + j, left) + LoadUpTo(dy + token * h + j, left);
      const F fresh = up * (one - stay) * (one - candidate * candidate);
      const F slope[kGru] = {fresh * read(kShare) * reset * (one - reset), up * (old - candidate) * stay * (one - stay), fresh * reset};
      StoreUpTo(slopes + j, slope[0], left);
      StoreUpTo(slopes + h + j, slope[1], left);
      StoreUpTo(slopes + 2 * h + j, fresh, left);
      for (int k = 0; k < kGru; ++k) {
        StoreUpTo(own + k * h + j, slope[k], left);
        StoreUpTo(sum + k * h + j, LoadUpTo(sum + k * h + j, left) + slope[k], left);
      }
      StoreUpTo(dh + j, up * stay, left);
    }
  });
  SumParts(sums, s.B, n, n, dbias);
  WeightGradient(s, n, y, side, dw);
}

void GruStep(const Call& c) {
  const Sizes s(c);
  const float *gates = c.In<float>(0), *w = c.In<float>(1), *bias = c.In<float>(2), *h = c.In<float>(3);
  float* next = c.Out<float>(0);
  const int64_t n = kGru * s.h;
  Scratch mixed(std::max<int64_t>(1, s.B * n));
  MapRows(s.B, n, s.h, h, w, mixed);  // the state's share of the gates
  ParallelFor(s.B, Grain(n), [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b)
      for (int64_t j = 0; j < s.h; j += W) {
        const int64_t left = s.h - j;
        StoreUpTo(next + b * s.h + j, GruAt(s.h, j, left, gates + b * n, mixed + b * n, bias, LoadUpTo(h + b * s.h + j, left)).h, left);
      }
  });
}

}  // namespace

LAB_KERNEL("Lstm", Lstm);
LAB_KERNEL("LstmGrad", LstmGrad);
LAB_KERNEL("LstmStep", LstmStep);
LAB_KERNEL("Gru", Gru);
LAB_KERNEL("GruGrad", GruGrad);
LAB_KERNEL("GruStep", GruStep);
