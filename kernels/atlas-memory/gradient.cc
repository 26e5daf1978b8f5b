// The gradient of the memory of ATLAS: tokens backwards, a segment at a time, of which the states are made again first (see memory.h).
#include "memory.h"

namespace {

using namespace lab;
using namespace lab::atlas;

constexpr int64_t kHeld = int64_t{1} << 19;  // doubles of traces kept over a segment, at most; a longer one is made twice

// Sums of slopes over the tokens of one memory, [tokens, padded width].
struct Slopes {
  Zeros p, k, v, gamma;
  explicit Slopes(const Sizes& s) : p(s.T * s.Fp), k(s.T * s.dp), v(s.T * s.dp), gamma(s.T) {}
};

void Out(int64_t rows, int64_t n, const double* from, int64_t padded, float* to) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < n; ++j) to[i * n + j] = static_cast<float>(from[i * padded + j]);
}

class Backward {
 public:
  Backward(const Call& c, const Sizes& s)
      : c_(c), s_(s), W_((kSegment + 1) * s.total), S_((kSegment + 1) * s.total), dW_(s.total), dS_(s.total), dAnchor_(s.total), anchor_(s.total),
        X_(s.total), dX_(s.total), dG_(s.total), turned_{Zeros(s.m[0].TurnedSize()), Zeros(s.Deep() ? s.m[1].TurnedSize() : 0)},
        dLeft_{Zeros(s.Rows() * s.Fp), Zeros(s.Rows() * s.hp)}, dRight_{Zeros(s.Rows() * std::max(s.hp, s.dp)), Zeros(s.Rows() * s.dp)}, dy_(s.dp),
        dpq_(s.Fp), hidden_(s.Rows() * s.hp), before_(s.Rows() * s.hp), rest_(s.Rows() * s.dp), holds_(kSegment * TraceSize(s) <= kHeld),
        traces_((holds_ ? kSegment : 1) * TraceSize(s)), lessons_(s), answer_(s), bench_{Bench(TraceOf(s, 0)), Bench(TraceOf(s, 1))}, slopes_(s) {
    for (int i = 0; i < s.matrices; ++i)
      for (int64_t n = 0; n < (holds_ ? kSegment : 1); ++n) {
        kept_[i][n] = TraceOf(s, i);
        kept_[i][n].Lay(traces_ + n * TraceSize(s) + (i == 1 ? kept_[0][n].Size() : 0));
      }
  }

  void Run(int64_t row, double* dStart) {
    const Sizes& s = s_;
    const Segments segments(s);
    const Tokens in(c_, s, row);
    for (double* sums : {static_cast<double*>(dW_), static_cast<double*>(dS_), static_cast<double*>(dAnchor_)}) std::fill_n(sums, s.total, 0.0);
    std::fill_n(static_cast<double*>(slopes_.p), s.T * s.Fp, 0.0);
    std::fill_n(static_cast<double*>(slopes_.k), s.T * s.dp, 0.0);
    std::fill_n(static_cast<double*>(slopes_.v), s.T * s.dp, 0.0);
    std::fill_n(static_cast<double*>(slopes_.gamma), s.T, 0.0);
    const int64_t count = segments.Count();
    for (int64_t g = count - 1; g >= 0; --g) {
      const int64_t t0 = segments.Start(g), t1 = g + 1 < count ? segments.Start(g + 1) : s.T;
      Load(row, g, count, W_, S_);
      if (segments.Anchor(g) == g)
        std::copy_n(static_cast<double*>(W_), s.total, static_cast<double*>(anchor_));
      else
        Load(row, segments.Anchor(g), count, anchor_, nullptr);
      Again(in, t0, t1);
      for (int64_t to = t1; to > t0;) {  // pieces backwards
        int64_t from = t0;
        const Pieces pieces{s, t0, t1};
        while (pieces.End(from) < to) from = pieces.End(from);
        BackPiece(in, pieces.At(from), t0, row);
        to = from;
      }
    }
    const int64_t now = row * s.T;
    Out(s.T, s.F, slopes_.p, s.Fp, c_.Out<float>(0) + now * s.F);
    Out(s.T, s.d, slopes_.k, s.dp, c_.Out<float>(1) + now * s.d);
    Out(s.T, s.d, slopes_.v, s.dp, c_.Out<float>(2) + now * s.d);
    Out(s.T, 1, slopes_.gamma, 1, c_.Out<float>(3) + now);
    for (int i = 0; i < s.matrices; ++i)
      for (int64_t a = 0; a < s.m[i].in; ++a)
        for (int64_t b = 0; b < s.m[i].out; ++b) dStart[s.m[i].outside + a * s.m[i].out + b] = dW_[s.m[i].at + s.m[i].Index(a, b)];
  }

 private:
  static Trace TraceOf(const Sizes& s, int i) {
    Trace t;
    if (i < s.matrices) t.Set(s.m[i].r, s.m[i].s, s.steps);
    return t;
  }
  static int64_t TraceSize(const Sizes& s) { return TraceOf(s, 0).Size() + TraceOf(s, 1).Size(); }

  void Load(int64_t row, int64_t g, int64_t count, double* W, double* S) {
    const float* from = c_.In<float>(11) + (row * count + g) * 4 * s_.outside;
    for (int i = 0; i < s_.matrices; ++i) {
      const Matrix& m = s_.m[i];
      Read(m, from + m.outside, from + s_.outside + m.outside, W + m.at);
      if (S) Read(m, from + 2 * s_.outside + m.outside, from + 3 * s_.outside + m.outside, S + m.at);
    }
  }

  double* AnchorOf(const Piece& piece, int64_t t0) {
    return piece.t0 % s_.chunk == 0 ? W_ + (piece.t0 - t0) * s_.total : static_cast<double*>(anchor_);
  }
  void TakeLessons(const Tokens& in, const Piece& piece, int64_t t0) { lessons_.Take(in, piece.rows0, piece.t1 - piece.rows0, AnchorOf(piece, t0)); }

  Trace& Kept(int i, int64_t token) { return kept_[i][holds_ ? token : 0]; }

  // The memory after each token of a segment.
  void Again(const Tokens& in, int64_t t0, int64_t t1) {
    const Pieces pieces{s_, t0, t1};
    for (int64_t t = t0; t < t1;) {
      const Piece piece = pieces.At(t);
      TakeLessons(in, piece, t0);
      for (; t < piece.t1; ++t) {
        double *W = W_ + (t - t0) * s_.total, *S = S_ + (t - t0) * s_.total;
        std::copy_n(S, s_.total, S + s_.total);
        const int64_t from = std::max<int64_t>(0, t + 1 - s_.window);
        double* next = S + s_.total;
        for (int i = 0; i < s_.matrices; ++i)
          lessons_.Gather(i, from - piece.rows0, t + 1 - piece.rows0, in.theta[t], next + s_.m[i].at);
        Trace* const traces[] = {&Kept(0, t - t0), &Kept(1, t - t0)};
        Orthogonalise(s_.matrices, traces, Apart(s_, next).p, Apart(s_, X_).p);
        Blend(s_.total, in.alpha[t], W, -static_cast<double>(in.eta[t]), X_, W + s_.total);
      }
    }
  }

  void BackPiece(const Tokens& in, const Piece& piece, int64_t t0, int64_t row) {
    const Sizes& s = s_;
    TakeLessons(in, piece, t0);
    const int64_t rows = piece.t1 - piece.rows0;
    for (int i = 0; i < s.matrices; ++i) {
      std::fill_n(static_cast<double*>(dLeft_[i]), rows * (i == 0 ? s.Fp : s.hp), 0.0);
      std::fill_n(static_cast<double*>(dRight_[i]), rows * (i == 0 && s.Deep() ? s.hp : s.dp), 0.0);
    }
    for (int64_t t = piece.t1 - 1; t >= piece.t0; --t) BackToken(in, t, t - t0, piece.rows0, row);
    BackLessons(rows, piece.rows0, AnchorOf(piece, t0));
    if (piece.t0 % s.chunk == 0) {
      Blend(s.total, 1.0, dW_, 1.0, dAnchor_, dW_);
      std::fill_n(static_cast<double*>(dAnchor_), s.total, 0.0);
    }
  }

  // The query, then the step of token t, the `index`th of its segment.
  void BackToken(const Tokens& in, int64_t t, int64_t index, int64_t rows0, int64_t row) {
    const Sizes& s = s_;
    const int64_t now = row * s.T + t;
    const double *before = W_ + index * s.total, *after = before + s.total;
    ReadRows(1, s.d, c_.In<float>(12) + now * s.d, dy_, s.dp);
    answer_.Give(s, in, t, after);
    double *dpq = dpq_, *dact = hidden_, *dpre = before_, *dy = dy_;
    float* dq = c_.Out<float>(4) + now * s.d;
    if (s.Deep()) {
      const Matrix& second = s.m[1];
      for (int64_t j = 0; j < s.d; ++j) dq[j] = static_cast<float>(dy[j]);
      second.Back(after + second.at, dy, dact);
      for (int64_t j = 0; j < s.hp; ++j) dpre[j] = dact[j] * answer_.open[j] * (1.0 + answer_.before[j] * (1.0 - answer_.open[j]));
      second.Learn(answer_.hidden, dy, dW_ + second.at);
      s.m[0].Learn(answer_.pq, dpre, dW_);
      s.m[0].Back(after, dpre, dpq);
    } else {
      for (int64_t j = 0; j < s.d; ++j) dq[j] = 0.0f;
      s.m[0].Learn(answer_.pq, dy, dW_);
      s.m[0].Back(after, dy, dpq);
    }
    for (int64_t j = 0; j < s.F; ++j) c_.Out<float>(5)[now * s.F + j] = static_cast<float>(dpq[j]);

    double *momentum = S_ + index * s.total, *next = momentum + s.total;
    const double alpha = in.alpha[t], eta = in.eta[t];
    Trace* const traces[] = {&Kept(0, index), &Kept(1, index)};
    Bench* const benches[] = {&bench_[0], &bench_[1]};
    const Apart X(s, X_);
    if (s.steps > 0 && holds_)
      for (int i = 0; i < s.matrices; ++i) traces[i]->Result(X.p[i]);
    else
      Orthogonalise(s.matrices, traces, Apart(s, next).p, X.p);
    const double dalpha = Dot(s.total, dW_, before), deta = -Dot(s.total, dW_, X_);
    Blend(s.total, -eta, dW_, 0.0, dW_, dX_);
    OrthogonaliseBack(s.matrices, traces, benches, Apart(s, next).p, Apart(s, dX_).p, Apart(s, dG_).p);
    Blend(s.total, 1.0, dS_, 1.0, dG_, dS_);
    const double dtheta = Dot(s.total, dS_, momentum);
    for (int i = 0; i < s.matrices; ++i) {
      const Matrix& m = s.m[i];
      double* dS = dS_ + m.at;
      const int64_t first = std::max<int64_t>(0, t + 1 - s.window), rows = t + 1 - first, at = first - rows0;
      double *left = DLeft(i, at), *right = DRight(i, at);
      const int64_t leftLd = lessons_.LeftLd(i), rightLd = lessons_.RightLd(i);
      m.Turn(dS, turned_[i]);
      Multiply<double, 1>(rows, leftLd, {m.Backward(dS, turned_[i], lessons_.Right(i, at), rightLd)}, left, leftLd, {left});
      Multiply<double, 1>(rows, rightLd, {m.Forward(dS, turned_[i], lessons_.Left(i, at), leftLd)}, right, rightLd, {right});
    }
    Blend(s.total, alpha, dW_, 0.0, dW_, dW_);
    Blend(s.total, in.theta[t], dS_, 0.0, dS_, dS_);
    c_.Out<float>(6)[now] = static_cast<float>(dalpha);
    c_.Out<float>(7)[now] = static_cast<float>(deta);
    c_.Out<float>(8)[now] = static_cast<float>(dtheta);
  }

  double* DLeft(int i, int64_t at) { return dLeft_[i] + at * lessons_.LeftLd(i); }
  double* DRight(int i, int64_t at) { return dRight_[i] + at * lessons_.RightLd(i); }

  // Through the factors of `rows` rows, of which the first is token n, at the anchor.
  void BackLessons(int64_t rows, int64_t n, const double* anchor) {
    const Sizes& s = s_;
    Lessons& l = lessons_;
    const Matrix &one = s.m[0], &two = s.m[1];
    const double *res = l.residual, *dFeatures = dLeft_[0], *second = anchor + two.at;
    double *dp = slopes_.p + n * s.Fp, *dk = slopes_.k + n * s.dp, *dv = slopes_.v + n * s.dp, *rest = rest_;
    double *de = s.Deep() ? dRight_[1] : dRight_[0], *dact = dLeft_[1], *dt = hidden_, *dpre = before_;
    for (int64_t j = 0; j < rows * s.Fp; ++j) dp[j] += dFeatures[j];
    if (s.Deep()) {
      const double *pre = l.before, *open = l.open, *thrown = l.thrown, *dback = dRight_[0];
      for (int64_t j = 0; j < rows * s.hp; ++j) dt[j] = dback[j] * open[j] * (1.0 + pre[j] * (1.0 - open[j]));
      for (int64_t j = 0; j < rows * s.hp; ++j)
        dpre[j] = dback[j] * thrown[j] * open[j] * (1.0 - open[j]) * (2.0 + pre[j] * (1.0 - 2.0 * open[j]));
      Multiply<double, 1>(rows, s.dp, {two.Forward(second, l.turned1, dt, s.hp)}, de, s.dp, {de});
    }
    for (int64_t i = 0; i < rows; ++i) {
      slopes_.gamma[n + i] += Dot(s.dp, de + i * s.dp, res + i * s.dp);
      for (int64_t j = i * s.dp; j < (i + 1) * s.dp; ++j) rest[j] = l.gamma[i] * de[j];
    }
    for (int64_t j = 0; j < rows * s.dp; ++j) dv[j] -= rest[j];
    if (s.Deep()) {
      const double *pre = l.before, *open = l.open;
      for (int64_t j = 0; j < rows * s.dp; ++j) dk[j] += rest[j];
      Multiply<double, 1>(rows, s.hp, {two.Backward(second, l.turned1, rest, s.dp)}, dact, s.hp, {dact});
      double* sum = dAnchor_ + two.at;
      Multiply<double, 2>(two.s, two.rp, {two.Outer(rows, dt, s.hp, l.error, s.dp), two.Outer(rows, l.hidden, s.hp, rest, s.dp)}, sum, two.rp, {sum});
      for (int64_t j = 0; j < rows * s.hp; ++j) dpre[j] += dact[j] * open[j] * (1.0 + pre[j] * (1.0 - open[j]));
    }
    const double* slope = s.Deep() ? dpre : rest;
    const int64_t ld = s.Deep() ? s.hp : s.dp;
    double* sum = dAnchor_;
    Multiply<double, 1>(rows, s.Fp, {one.Backward(anchor, l.turned0, slope, ld)}, dp, s.Fp, {dp});
    Multiply<double, 1>(one.s, one.rp, {one.Outer(rows, l.p, s.Fp, slope, ld)}, sum, one.rp, {sum});
  }

  const Call& c_;
  const Sizes& s_;
  // W_, S_: after each token of a segment, and before its first.
  Zeros W_, S_, dW_, dS_, dAnchor_, anchor_, X_, dX_, dG_, turned_[2], dLeft_[2], dRight_[2], dy_, dpq_, hidden_, before_, rest_;
  bool holds_;
  Zeros traces_;
  Trace kept_[2][kSegment];
  Lessons lessons_;
  Answer answer_;
  Bench bench_[2];
  Slopes slopes_;
};

void AtlasMemoryGrad(const Call& c) {
  const Sizes s(c);
  Zeros starts(s.R * s.outside);
  ParallelFor(s.R, 1, [&](int64_t begin, int64_t end) {
    Backward backward(c, s);
    for (int64_t row = begin; row < end; ++row) backward.Run(row, starts + row * s.outside);
  });
  for (int i = 0; i < s.matrices; ++i) {
    const int64_t size = s.m[i].in * s.m[i].out;
    for (int64_t h = 0; h < s.H; ++h)
      for (int64_t j = 0; j < size; ++j) {
        double sum = 0;
        for (int64_t row = h; row < s.R; row += s.H) sum += starts[row * s.outside + s.m[i].outside + j];
        c.Out<float>(9 + i)[h * size + j] = static_cast<float>(sum);
      }
  }
}

}  // namespace

LAB_KERNEL("AtlasMemoryGrad", AtlasMemoryGrad);
