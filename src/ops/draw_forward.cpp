// DRAW's time loop forward, on the kernels.
#include <ATen/TensorOperators.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/sub.h>

#include "attend/kernels/decoder_step.h"
#include "ops/draw_rows.h"
#include "ops/filterbank.h"

namespace attend {
namespace {

/// The weights as a forward multiplies with them.
struct DrawFactors {
  PackedFactor states, read, latent, decoder_ih, decoder_hh, write;
  at::Tensor encoder_bias, latent_bias, decoder_bias, write_bias, canvas;

  DrawFactors(const DrawShape& s, const DrawWeights& w, const DrawOptions& o, bool encodes)
      : decoder_ih(w.decoder_ih.t()), decoder_hh(w.decoder_hh.t()), write(w.write.t()) {
    encoder_bias = w.encoder_bias.contiguous(), decoder_bias = w.decoder_bias.contiguous();
    latent_bias = w.latent_bias.contiguous(), write_bias = w.write_bias.contiguous();
    if (!encodes) return;
    states = PackedFactor(from_states(s, w).t());
    read = PackedFactor(from_read(s, o, w.encoder_ih).t());
    latent = PackedFactor(w.latent.t());
  }
};

/// What the loop fills beside the tape, [B,…] or [T,B,…]; undefined where it is not asked for.
struct DrawSheets {
  at::Tensor canvas, canvases, read_window, write_window;

  DrawSheets rows(std::int64_t first, std::int64_t count) const {
    return {canvas.narrow(0, first, count), rows_of(canvases, first, count),
            rows_of(read_window, first, count), rows_of(write_window, first, count)};
  }
};

/// The loop over some rows of the batch.
class DrawForwardRows {
 public:
  DrawForwardRows(const DrawShape& s, const DrawOptions& o, const DrawWeights& w,
                  const DrawFactors& f, bool keep)
      : s_(s), o_(o), w_(w), f_(f), keep_(keep) {}

  void run(const at::Tensor& image, const at::Tensor& noise, const DrawTape& tape,
           const DrawSheets& sheets) {
    image_ = image, noise_ = noise, tape_ = tape, sheets_ = sheets, canvas_ = sheets.canvas;
    s_.batch = noise.size(1);
    decoder_hidden_ = draw_empty({s_.batch, s_.decoder}, noise);
    encoder_hidden_ = draw_empty({s_.batch, s_.encoder}, noise);
    gates_ = draw_empty({2, s_.batch * 4 * std::max(s_.encoder, s_.decoder)}, noise);
    begin();
    for (std::int64_t t = 0; t < s_.steps; ++t) {
      if (image_.defined()) encode(t);
      decode(t);
      write(t);
    }
  }
  TensorList read_kept, write_kept;

 private:
  std::int64_t slot(std::int64_t t) const { return keep_ ? t : 0; }

  void begin() {
    canvas_.copy_(w_.canvas);
    tape_.states[0].narrow(1, 0, s_.decoder).copy_(w_.decoder_hidden);
    tape_.decoder_cells[0].copy_(w_.decoder_cell);
    if (!image_.defined()) return;
    tape_.states[0].narrow(1, s_.decoder, s_.encoder).copy_(w_.encoder_hidden);
    tape_.encoder_cells[0].copy_(w_.encoder_cell);
    if (o_.attention) {  // the first window to read through
      f_.write.into(tape_.heads[0], tape_.states[0].narrow(1, 0, s_.decoder), f_.write_bias);
      tape_.images.narrow(2, 0, s_.channels).copy_(image_);
    } else {
      from_image_ = draw_empty({s_.batch, 4 * s_.encoder}, noise_);
      product_into(from_image_, image_.flatten(1), w_.encoder_ih.narrow(1, 0, s_.pixels()).t(),
                   {.bias = f_.encoder_bias});
    }
  }

  /// x̂ into its place; returns what this step sees.
  at::Tensor see(std::int64_t t) {
    const at::Tensor seen = tape_.images[slot(t)];
    at::Tensor error = seen.narrow(1, s_.seen - s_.channels, s_.channels);
    if (o_.mean == DrawMean::kSigmoid) {
      at::sigmoid_out(error, canvas_);
      at::sub_out(error, image_, error);
    } else {
      at::sub_out(error, image_, canvas_);
    }
    return seen;
  }

  void encode(std::int64_t t) {
    const at::Tensor seen = see(t), before = tape_.states[slot(t)];
    at::Tensor token = gates(0, s_.encoder), context;
    if (o_.attention) {
      const at::Tensor window = tape_.heads[slot(t)].narrow(1, s_.patch + 5, 5).contiguous();
      auto [glimpse, kept] = filterbank_read_fused(seen, window, o_.read_size, keep_);
      const at::Tensor read = tape_.reads[slot(t)];
      read.copy_(glimpse.flatten(1));
      if (keep_) read_kept.push_back(kept);
      if (o_.trace) sheets_.read_window[t].copy_(window);
      f_.read.into(token, read, f_.encoder_bias);
    } else {
      context = draw_empty({s_.batch, 4 * s_.encoder}, noise_);
      f_.read.into(context, seen.flatten(1));
      token = from_image_;
    }
    const at::Tensor product = gates(1, s_.encoder);
    f_.states.into(product, before);
    const at::Tensor sums[3] = {token, context, product};
    step(sums, tape_.encoder_cells, tape_.encoder_gates, t, encoder_hidden_);
    tape_.states[slot(t + 1)].narrow(1, s_.decoder, s_.encoder).copy_(encoder_hidden_);
    const at::Tensor q = tape_.latents[t];
    f_.latent.into(q, encoder_hidden_, f_.latent_bias);
    at::Tensor z = tape_.codes[slot(t)];
    at::exp_out(z, q.narrow(1, s_.latent, s_.latent));
    z.mul_(noise_[t]).add_(q.narrow(1, 0, s_.latent));
  }

  void decode(std::int64_t t) {
    const at::Tensor code = image_.defined() ? tape_.codes[slot(t)] : noise_[t];
    const at::Tensor sums[3] = {gates(0, s_.decoder), {}, gates(1, s_.decoder)};
    f_.decoder_ih.into(sums[0], code, f_.decoder_bias);
    f_.decoder_hh.into(sums[2], tape_.states[slot(t)].narrow(1, 0, s_.decoder));
    step(sums, tape_.decoder_cells, tape_.decoder_gates, t, decoder_hidden_);
    tape_.states[slot(t + 1)].narrow(1, 0, s_.decoder).copy_(decoder_hidden_);
  }

  void write(std::int64_t t) {
    const at::Tensor heads = tape_.heads[slot(t + 1)];
    f_.write.into(heads, decoder_hidden_, f_.write_bias);
    if (o_.attention) {
      const at::Tensor window = heads.narrow(1, s_.patch, 5).contiguous();
      const at::Tensor patch =
          heads.narrow(1, 0, s_.patch).unflatten(1, {s_.channels, o_.write_size, o_.write_size});
      auto [stroke, kept] = filterbank_write_fused(patch, window, s_.height, s_.width, keep_);
      canvas_.add_(stroke);
      if (keep_) write_kept.push_back(kept);
      if (o_.trace) sheets_.write_window[t].copy_(window);
    } else {
      canvas_.add_(heads.view_as(canvas_));
    }
    if (o_.trace) sheets_.canvases[t].copy_(canvas_);
  }

  at::Tensor gates(std::int64_t which, std::int64_t hidden) const {  // scratch [B,4H], dense
    return gates_[which].narrow(0, 0, s_.batch * 4 * hidden).view({s_.batch, 4 * hidden});
  }

  /// One LSTM cell on the sum of three products, of which the second may be missing.
  void step(const at::Tensor (&sums)[3], const at::Tensor& cells, const at::Tensor& kept,
            std::int64_t t, const at::Tensor& after) const {
    with_scalar_type(noise_, [&](auto zero) {
      using T = decltype(zero);
      kernels::StepForward<T> p;
      p.cell = kernels::StepCell::kLstm, p.batch = s_.batch, p.hidden = after.size(1);
      p.token = sums[0].const_data_ptr<T>(), p.token_row = sums[0].stride(0);
      p.from_context = draw_pointer<T>(sums[1]), p.from_state = sums[2].const_data_ptr<T>();
      p.memory = cells[slot(t)].const_data_ptr<T>();
      p.memory_after = cells[slot(t + 1)].mutable_data_ptr<T>();
      p.kept = kept[slot(t)].mutable_data_ptr<T>(), p.after = after.mutable_data_ptr<T>();
      kernels::step_forward(p);
    });
  }

  DrawShape s_;  // with the number of these rows
  const DrawOptions& o_;
  const DrawWeights& w_;
  const DrawFactors& f_;
  const bool keep_;
  at::Tensor image_, noise_, from_image_, canvas_, encoder_hidden_, decoder_hidden_, gates_;
  DrawTape tape_;
  DrawSheets sheets_;
};

/// Tape and sheets for the whole batch.
DrawTape new_tape(const DrawShape& s, const at::Tensor& like, bool attention, bool encodes,
                  bool keep) {
  const std::int64_t n = keep ? s.steps : 1, after = keep ? s.steps + 1 : 1;
  const auto make = [&](std::int64_t steps, std::int64_t width) {
    return draw_empty({steps, s.batch, width}, like);
  };
  DrawTape t;
  t.states = make(after, s.decoder + s.encoder);
  t.decoder_cells = make(after, s.decoder), t.decoder_gates = make(n, 4 * s.decoder);
  t.heads = make(after, s.write);
  if (!encodes) return t;
  t.images = draw_empty({n, s.batch, s.seen, s.height, s.width}, like);
  if (attention) t.reads = make(n, s.read);
  t.encoder_cells = make(after, s.encoder), t.encoder_gates = make(n, 4 * s.encoder);
  t.latents = make(s.steps, 2 * s.latent);  // the result, so always whole
  t.codes = make(n, s.latent);
  return t;
}

DrawSheets new_sheets(const DrawShape& s, const at::Tensor& like, const DrawOptions& o,
                      bool encodes) {
  DrawSheets out;
  out.canvas = draw_empty({s.batch, s.channels, s.height, s.width}, like);
  if (!o.trace) return out;
  out.canvases = draw_empty({s.steps, s.batch, s.channels, s.height, s.width}, like);
  if (!o.attention) return out;
  out.write_window = draw_empty({s.steps, s.batch, 5}, like);
  if (encodes) out.read_window = draw_empty({s.steps, s.batch, 5}, like);
  return out;
}

}  // namespace

DrawForward draw_fused(const at::Tensor& given, const at::Tensor& given_noise, const DrawWeights& w,
                       const DrawOptions& o, bool keep) {
  const DrawShape s = check_draw(given, given_noise, w, o);
  const at::Tensor image = contiguous_or_undefined(given), noise = given_noise.contiguous();
  const DrawFactors factors(s, w, o, image.defined());
  const DrawSheets sheets = new_sheets(s, noise, o, image.defined());
  DrawForward out;
  out.tape = new_tape(s, noise, o.attention, image.defined(), keep);
  const std::int64_t parts = draw_parts(s.batch);
  std::vector<DrawForwardRows> rows(static_cast<std::size_t>(parts), {s, o, w, factors, keep});
  draw_share(s.batch, parts, [&](int part, std::int64_t first, std::int64_t count) {
    rows[static_cast<std::size_t>(part)].run(
        image.defined() ? image.narrow(0, first, count) : image, rows_of(noise, first, count),
        rows_of(out.tape, first, count), sheets.rows(first, count));
  });
  for (const DrawForwardRows& r : rows) {
    out.tape.read_kept.insert(out.tape.read_kept.end(), r.read_kept.begin(), r.read_kept.end());
    out.tape.write_kept.insert(out.tape.write_kept.end(), r.write_kept.begin(), r.write_kept.end());
  }
  out.result = {sheets.canvas, {}, {}, sheets.canvases, sheets.read_window, sheets.write_window};
  if (!image.defined()) return out;
  out.result.mean = out.tape.latents.narrow(2, 0, s.latent);
  out.result.log_sigma = out.tape.latents.narrow(2, s.latent, s.latent);
  return out;
}

}  // namespace attend
