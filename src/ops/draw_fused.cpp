// DRAW's time loop on the kernels. Products have their weights packed once; a step's tensors lie in one slot of the tape.
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/sub.h>
#include <ATen/ops/zeros.h>

#include "attend/kernels/decoder_step.h"
#include "ops/arena.h"
#include "ops/draw.h"
#include "ops/filterbank.h"
#include "ops/product.h"

namespace attend {
namespace {

/// The second factor of many products, in the kernel's layout.
class PackedFactor {
 public:
  PackedFactor() = default;
  explicit PackedFactor(const at::Tensor& b)
      : b_(b.stride(0) == 1 || b.stride(1) == 1 ? b : b.contiguous()),
        packed_(pooled_empty({packed_factor_size(b_)}, b.options())) {
    pack_factor(b_, packed_);
  }
  /// c ← a b + bias
  void into(const at::Tensor& c, const at::Tensor& a, const at::Tensor& bias = {}) const {
    product_into(c, a, b_, {.bias = bias, .packed = packed_});
  }

 private:
  at::Tensor b_, packed_;
};

template <class T>
const T* draw_pointer(const at::Tensor& t) {
  return t.defined() ? t.const_data_ptr<T>() : nullptr;
}

at::Tensor draw_empty(at::IntArrayRef sizes, const at::Tensor& like) {
  return pooled_empty(sizes, like.options());
}

/// All steps of a tensor as rows: [T,B,…] -> [T · B, …].
at::Tensor all_rows(const at::Tensor& t) { return t.flatten(0, 1); }

/// What is multiplied with (h^dec, h^enc) before a step to give the encoder's gates: [4He,Hd+He].
at::Tensor from_states(const DrawShape& s, const DrawWeights& w) {
  return at::cat({w.encoder_ih.narrow(1, s.read, s.decoder), w.encoder_hh}, 1);
}

/// encoder_ih's columns of what is read; without attention only those of x̂, as x's part is the same at every step.
at::Tensor from_read(const DrawShape& s, const DrawOptions& o, const at::Tensor& encoder_ih) {
  return o.attention ? encoder_ih.narrow(1, 0, s.read)
                     : encoder_ih.narrow(1, s.pixels(), s.pixels());
}

class DrawForwardLoop {
 public:
  DrawForwardLoop(const at::Tensor& image, const at::Tensor& noise, const DrawWeights& w,
                  const DrawOptions& o, bool keep)
      : s_(check_draw(image, noise, w, o)),
        o_(o),
        w_(w),
        keep_(keep),
        image_(image.defined() ? image.contiguous() : image),
        noise_(noise.contiguous()) {
    encoder_bias_ = w.encoder_bias.contiguous(), decoder_bias_ = w.decoder_bias.contiguous();
    latent_bias_ = w.latent_bias.contiguous(), write_bias_ = w.write_bias.contiguous();
    decoder_ih_ = PackedFactor(w.decoder_ih.t()), decoder_hh_ = PackedFactor(w.decoder_hh.t());
    write_ = PackedFactor(w.write.t());
    if (image.defined()) {
      states_ = PackedFactor(from_states(s_, w).t());
      read_ = PackedFactor(from_read(s_, o, w.encoder_ih).t());
      latent_ = PackedFactor(w.latent.t());
    }
    allocate();
  }

  DrawForward run() {
    begin();
    for (std::int64_t t = 0; t < s_.steps; ++t) {
      if (image_.defined()) encode(t);
      decode(t);
      write(t);
    }
    result_.canvas = canvas_;
    if (image_.defined()) {
      result_.mean = tape_.latents.narrow(2, 0, s_.latent);
      result_.log_sigma = tape_.latents.narrow(2, s_.latent, s_.latent);
    }
    if (o_.trace) {
      result_.canvases = at::stack(canvases_);
      if (!read_windows_.empty()) result_.read_window = at::stack(read_windows_);
      if (!write_windows_.empty()) result_.write_window = at::stack(write_windows_);
    }
    return {result_, tape_};
  }

 private:
  std::int64_t slot(std::int64_t t) const { return keep_ ? t : 0; }

  void allocate() {
    const std::int64_t b = s_.batch, n = keep_ ? s_.steps : 1, after = keep_ ? s_.steps + 1 : 1;
    const auto make = [&](std::int64_t steps, std::int64_t width) {
      return draw_empty({steps, b, width}, noise_);
    };
    tape_.states = make(after, s_.decoder + s_.encoder);
    tape_.decoder_cells = make(after, s_.decoder), tape_.decoder_gates = make(n, 4 * s_.decoder);
    tape_.heads = make(after, s_.write), tape_.codes = make(n, s_.latent);
    decoder_hidden_ = make(1, s_.decoder)[0];
    gates_ = make(2, 4 * std::max(s_.encoder, s_.decoder));
    canvas_ = draw_empty({b, s_.channels, s_.height, s_.width}, noise_);
    if (!image_.defined()) return;
    tape_.images = draw_empty({n, b, s_.seen, s_.height, s_.width}, noise_);
    if (o_.attention) tape_.reads = make(n, s_.read);
    tape_.encoder_cells = make(after, s_.encoder), tape_.encoder_gates = make(n, 4 * s_.encoder);
    tape_.latents = make(s_.steps, 2 * s_.latent);  // the result, so always whole
    encoder_hidden_ = make(1, s_.encoder)[0];
  }

  void begin() {
    canvas_.copy_(w_.canvas);
    tape_.states[0].narrow(1, 0, s_.decoder).copy_(w_.decoder_hidden);
    tape_.decoder_cells[0].copy_(w_.decoder_cell);
    if (!image_.defined()) return;
    tape_.states[0].narrow(1, s_.decoder, s_.encoder).copy_(w_.encoder_hidden);
    tape_.encoder_cells[0].copy_(w_.encoder_cell);
    if (o_.attention) {  // the first window to read through
      write_.into(tape_.heads[0], tape_.states[0].narrow(1, 0, s_.decoder), write_bias_);
      tape_.images.narrow(2, 0, s_.channels).copy_(image_);
    } else {
      from_image_ = draw_empty({s_.batch, 4 * s_.encoder}, noise_);
      product_into(from_image_, image_.flatten(1), w_.encoder_ih.narrow(1, 0, s_.pixels()).t(),
                   {.bias = encoder_bias_});
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
      if (keep_) tape_.read_kept.push_back(kept);
      if (o_.trace) read_windows_.push_back(window.clone());  // of one row, it is the slot itself
      read_.into(token, read, encoder_bias_);
    } else {
      context = draw_empty({s_.batch, 4 * s_.encoder}, noise_);
      read_.into(context, seen.flatten(1));
      token = from_image_;
    }
    const at::Tensor product = gates(1, s_.encoder);
    states_.into(product, before);
    const at::Tensor sums[3] = {token, context, product};
    step(sums, tape_.encoder_cells, tape_.encoder_gates, t, encoder_hidden_);
    tape_.states[slot(t + 1)].narrow(1, s_.decoder, s_.encoder).copy_(encoder_hidden_);
    const at::Tensor q = tape_.latents[t];
    latent_.into(q, encoder_hidden_, latent_bias_);
    at::Tensor z = tape_.codes[slot(t)];
    at::exp_out(z, q.narrow(1, s_.latent, s_.latent));
    z.mul_(noise_[t]).add_(q.narrow(1, 0, s_.latent));
  }

  void decode(std::int64_t t) {
    const at::Tensor code = image_.defined() ? tape_.codes[slot(t)] : noise_[t];
    const at::Tensor sums[3] = {gates(0, s_.decoder), {}, gates(1, s_.decoder)};
    decoder_ih_.into(sums[0], code, decoder_bias_);
    decoder_hh_.into(sums[2], tape_.states[slot(t)].narrow(1, 0, s_.decoder));
    step(sums, tape_.decoder_cells, tape_.decoder_gates, t, decoder_hidden_);
    tape_.states[slot(t + 1)].narrow(1, 0, s_.decoder).copy_(decoder_hidden_);
  }

  void write(std::int64_t t) {
    const at::Tensor heads = tape_.heads[slot(t + 1)];
    write_.into(heads, decoder_hidden_, write_bias_);
    if (o_.attention) {
      const at::Tensor window = heads.narrow(1, s_.patch, 5).contiguous();
      const at::Tensor patch =
          heads.narrow(1, 0, s_.patch).unflatten(1, {s_.channels, o_.write_size, o_.write_size});
      auto [stroke, kept] = filterbank_write_fused(patch, window, s_.height, s_.width, keep_);
      canvas_.add_(stroke);
      if (keep_) tape_.write_kept.push_back(kept);
      if (o_.trace) write_windows_.push_back(window.clone());
    } else {
      canvas_.add_(heads.view_as(canvas_));
    }
    if (o_.trace) canvases_.push_back(canvas_.clone());
  }

  at::Tensor gates(std::int64_t which, std::int64_t hidden) const {  // scratch [B,4H], dense
    return gates_[which].flatten().narrow(0, 0, s_.batch * 4 * hidden).view({s_.batch, 4 * hidden});
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

  const DrawShape s_;
  const DrawOptions o_;
  const DrawWeights w_;
  const bool keep_;
  const at::Tensor image_, noise_;
  at::Tensor encoder_bias_, latent_bias_, decoder_bias_, write_bias_, from_image_;
  PackedFactor states_, read_, latent_, decoder_ih_, decoder_hh_, write_;
  at::Tensor canvas_, encoder_hidden_, decoder_hidden_, gates_;
  TensorList canvases_, read_windows_, write_windows_;
  DrawTape tape_;
  DrawResult result_;
};

/// Backward from the last step to the first. The gradients of gates, latents and heads are kept for all steps, so that each
/// weight's gradient is one product at the end.
class DrawBackwardLoop {
 public:
  DrawBackwardLoop(const DrawCotangents& grads, const at::Tensor& image, const at::Tensor& noise,
                   const DrawWeights& w, const DrawOptions& o, const DrawTape& tape)
      : s_(check_draw(image, noise, w, o)),
        o_(o),
        w_(w),
        grads_(grads),
        tape_(tape),
        image_(image.contiguous()),
        noise_(noise.contiguous()),
        states_(from_states(s_, w)),
        read_(from_read(s_, o, w.encoder_ih)),
        latent_(w.latent),
        decoder_ih_(w.decoder_ih),
        decoder_hh_(w.decoder_hh),
        write_(w.write) {
    const auto make = [&](std::int64_t steps, std::int64_t width) {
      return draw_empty({steps, s_.batch, width}, noise_);
    };
    encoder_gates_ = make(s_.steps, 4 * s_.encoder),
    decoder_gates_ = make(s_.steps, 4 * s_.decoder);
    latents_ = make(s_.steps, 2 * s_.latent), heads_ = make(s_.steps + 1, s_.write);
    const auto zeros = [&](at::IntArrayRef sizes) { return at::zeros(sizes, noise_.options()); };
    state_ = zeros({s_.batch, s_.decoder + s_.encoder});
    encoder_cell_ = zeros({s_.batch, s_.encoder}), decoder_cell_ = zeros({s_.batch, s_.decoder});
    unused_ = zeros({s_.batch, std::max(s_.encoder, s_.decoder)});
    window_ = zeros({s_.batch, 5});
    canvas_ = grads.canvas.defined() ? grads.canvas.clone(at::MemoryFormat::Contiguous)
                                     : zeros({s_.batch, s_.channels, s_.height, s_.width});
  }

  TensorList run() {
    for (std::int64_t t = s_.steps - 1; t >= 0; --t) {
      const at::Tensor decoder = write_back(t);
      const at::Tensor from_decoder = decode_back(t, decoder);
      encode_back(t);
      state_.narrow(1, 0, s_.decoder).add_(from_decoder);
      see_back(t);
    }
    heads_[0].zero_();
    if (o_.attention) {
      heads_[0].narrow(1, s_.patch + 5, 5).copy_(window_);
      const at::Tensor decoder = draw_empty({s_.batch, s_.decoder}, noise_);
      write_.into(decoder, heads_[0]);
      state_.narrow(1, 0, s_.decoder).add_(decoder);
    }
    return weight_gradients();
  }

 private:
  /// The gradient of h^dec_t, from what it wrote, the next read window and the steps behind.
  at::Tensor write_back(std::int64_t t) {
    const at::Tensor heads = heads_[t + 1];
    if (o_.attention) {
      const at::Tensor made = tape_.heads[t + 1];
      const at::Tensor patch =
          made.narrow(1, 0, s_.patch).unflatten(1, {s_.channels, o_.write_size, o_.write_size});
      const auto [d_patch, d_window] = filterbank_write_backward_cpu(
          canvas_, patch, made.narrow(1, s_.patch, 5), {true, true}, tape_.write_kept[t]);
      heads.narrow(1, 0, s_.patch).copy_(d_patch.flatten(1));
      heads.narrow(1, s_.patch, 5).copy_(d_window);
      heads.narrow(1, s_.patch + 5, 5).copy_(window_);
    } else {
      heads.copy_(canvas_.flatten(1));
    }
    const at::Tensor decoder = draw_empty({s_.batch, s_.decoder}, noise_);
    write_.into(decoder, heads);
    return decoder.add_(state_.narrow(1, 0, s_.decoder));
  }

  /// Through the decoder's cell; returns the gradient of h^dec_{t−1} and leaves that of (μ, log σ).
  at::Tensor decode_back(std::int64_t t, const at::Tensor& hidden) {
    step(hidden, tape_.decoder_cells, tape_.decoder_gates, t, decoder_gates_, decoder_cell_);
    const at::Tensor before = draw_empty({s_.batch, s_.decoder}, noise_);
    decoder_hh_.into(before, decoder_gates_[t]);
    const at::Tensor code = draw_empty({s_.batch, s_.latent}, noise_);
    decoder_ih_.into(code, decoder_gates_[t]);
    const at::Tensor mean = latents_[t].narrow(1, 0, s_.latent);
    at::Tensor log_sigma = latents_[t].narrow(1, s_.latent, s_.latent);
    mean.copy_(code);
    at::sub_out(log_sigma, tape_.codes[t], tape_.latents[t].narrow(1, 0, s_.latent));  // σ ε
    log_sigma.mul_(code);
    if (grads_.mean.defined()) mean.add_(grads_.mean[t]);
    if (grads_.log_sigma.defined()) log_sigma.add_(grads_.log_sigma[t]);
    return before;
  }

  /// Through latents and the encoder's cell; state_ becomes the gradient of the states before the step.
  void encode_back(std::int64_t t) {
    const at::Tensor hidden = draw_empty({s_.batch, s_.encoder}, noise_);
    latent_.into(hidden, latents_[t]);
    hidden.add_(state_.narrow(1, s_.decoder, s_.encoder));
    step(hidden, tape_.encoder_cells, tape_.encoder_gates, t, encoder_gates_, encoder_cell_);
    states_.into(state_, encoder_gates_[t]);
  }

  /// From what was read to its window and, through x̂, to the canvas before the step.
  void see_back(std::int64_t t) {
    const at::Tensor seen = tape_.images[t];
    at::Tensor d_error;
    if (o_.attention) {
      const at::Tensor d_read = draw_empty({s_.batch, s_.read}, noise_);
      read_.into(d_read, encoder_gates_[t]);
      const auto [d_seen, d_window] =
          filterbank_read_backward_cpu(d_read.view({s_.batch, s_.seen, o_.read_size, o_.read_size}),
                                       seen, tape_.heads[t].narrow(1, s_.patch + 5, 5),
                                       o_.read_size, {true, true}, tape_.read_kept[t]);
      window_ = d_window;
      d_error = d_seen.narrow(1, s_.channels, s_.channels);
    } else {
      d_error = draw_empty(canvas_.sizes(), noise_);
      read_.into(d_error.flatten(1), encoder_gates_[t]);
    }
    if (o_.mean == DrawMean::kCanvas) {
      canvas_.sub_(d_error);
      return;
    }
    const at::Tensor error = seen.narrow(1, s_.seen - s_.channels, s_.channels);
    const at::Tensor mean = image_ - error;                     // σ(c)
    canvas_.sub_(mean.addcmul_(mean, mean, -1).mul_(d_error));  // σ' = σ (1 − σ)
  }

  void step(const at::Tensor& grad, const at::Tensor& cells, const at::Tensor& kept, std::int64_t t,
            const at::Tensor& grad_gates, const at::Tensor& grad_cell) const {
    with_scalar_type(noise_, [&](auto zero) {
      using T = decltype(zero);
      kernels::StepBackward<T> p;
      p.cell = kernels::StepCell::kLstm, p.batch = s_.batch, p.hidden = grad.size(1);
      p.memory = cells[t].const_data_ptr<T>(), p.memory_after = cells[t + 1].const_data_ptr<T>();
      p.kept = kept[t].const_data_ptr<T>(), p.grad_after = grad.const_data_ptr<T>();
      p.grad_memory_after =
          grad_cell.const_data_ptr<T>();  // read before it is written: one place for both
      p.grad_memory = grad_cell.mutable_data_ptr<T>();
      p.grad_input = grad_gates[t].mutable_data_ptr<T>();
      p.grad_state = unused_.mutable_data_ptr<T>();
      kernels::step_backward(p);
    });
  }

  /// into ← Σ over rows of gradᵀ input
  static void weight(const at::Tensor& into, const at::Tensor& grad, const at::Tensor& input) {
    product_into(into, all_rows(grad).t(), all_rows(input));
  }

  TensorList weight_gradients() const {
    const auto like = [&](const at::Tensor& t) { return draw_empty(t.sizes(), noise_); };
    const at::Tensor encoder_ih = like(w_.encoder_ih), encoder_hh = like(w_.encoder_hh),
                     latent = like(w_.latent), decoder_ih = like(w_.decoder_ih),
                     decoder_hh = like(w_.decoder_hh), write = like(w_.write);
    const at::Tensor decoder = tape_.states.narrow(2, 0, s_.decoder);           // [T+1,B,Hd]
    const at::Tensor encoder = tape_.states.narrow(2, s_.decoder, s_.encoder);  // [T+1,B,He]
    const std::int64_t n = s_.steps;
    if (o_.attention) {
      weight(encoder_ih.narrow(1, 0, s_.read), encoder_gates_, tape_.reads);
    } else {
      product_into(encoder_ih.narrow(1, 0, s_.pixels()), encoder_gates_.sum(0).t(),
                   image_.flatten(1));
      weight(encoder_ih.narrow(1, s_.pixels(), s_.pixels()), encoder_gates_,
             tape_.images.flatten(2));
    }
    weight(encoder_ih.narrow(1, s_.read, s_.decoder), encoder_gates_, decoder.narrow(0, 0, n));
    weight(encoder_hh, encoder_gates_, encoder.narrow(0, 0, n));
    weight(latent, latents_, encoder.narrow(0, 1, n));
    weight(decoder_ih, decoder_gates_, tape_.codes);
    weight(decoder_hh, decoder_gates_, decoder.narrow(0, 0, n));
    weight(write, heads_, decoder);
    return {canvas_.sum(0),
            state_.narrow(1, s_.decoder, s_.encoder).sum(0),
            encoder_cell_.sum(0),
            state_.narrow(1, 0, s_.decoder).sum(0),
            decoder_cell_.sum(0),
            encoder_ih,
            encoder_hh,
            all_rows(encoder_gates_).sum(0),
            latent,
            all_rows(latents_).sum(0),
            decoder_ih,
            decoder_hh,
            all_rows(decoder_gates_).sum(0),
            write,
            all_rows(heads_).sum(0)};
  }

  const DrawShape s_;
  const DrawOptions o_;
  const DrawWeights w_;
  const DrawCotangents grads_;
  const DrawTape& tape_;
  const at::Tensor image_, noise_;
  const PackedFactor states_, read_, latent_, decoder_ih_, decoder_hh_, write_;
  at::Tensor encoder_gates_, decoder_gates_, latents_, heads_;  // gradients, of every step
  at::Tensor state_, encoder_cell_, decoder_cell_, window_, canvas_, unused_;
};

}  // namespace

DrawForward draw_fused(const at::Tensor& image, const at::Tensor& noise, const DrawWeights& w,
                       const DrawOptions& o, bool keep) {
  return DrawForwardLoop(image, noise, w, o, keep).run();
}

TensorList draw_backward(const DrawCotangents& grads, const at::Tensor& image,
                         const at::Tensor& noise, const DrawWeights& w, const DrawOptions& o,
                         const DrawTape& tape) {
  return DrawBackwardLoop(grads, image, noise, w, o, tape).run();
}

}  // namespace attend
