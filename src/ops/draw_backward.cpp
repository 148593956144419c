// DRAW's time loop backward, on the kernels: from the last step to the first, then the weights.
#include <ATen/TensorOperators.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/zeros.h>

#include "attend/kernels/decoder_step.h"
#include "ops/draw_rows.h"
#include "ops/filterbank.h"

namespace attend {
namespace {

/// The gradients of gates, latents and heads are kept for all steps, so that each weight's gradient is one product at the end.
struct DrawGradients {
  at::Tensor encoder_gates, decoder_gates, latents,
      heads;  // [T,B,4He], [T,B,4Hd], [T,B,2Z], [T+1,B,P]
  at::Tensor states, encoder_cell, decoder_cell, canvas;  // before the first step, [B,…]

  DrawGradients(const DrawShape& s, const at::Tensor& like, const at::Tensor& grad_canvas) {
    const auto make = [&](std::int64_t steps, std::int64_t width) {
      return draw_empty({steps, s.batch, width}, like);
    };
    const auto zeros = [&](at::IntArrayRef sizes) { return at::zeros(sizes, like.options()); };
    encoder_gates = make(s.steps, 4 * s.encoder), decoder_gates = make(s.steps, 4 * s.decoder);
    latents = make(s.steps, 2 * s.latent), heads = make(s.steps + 1, s.write);
    states = zeros({s.batch, s.decoder + s.encoder});
    encoder_cell = zeros({s.batch, s.encoder}), decoder_cell = zeros({s.batch, s.decoder});
    canvas = grad_canvas.defined() ? grad_canvas.clone(at::MemoryFormat::Contiguous)
                                   : zeros({s.batch, s.channels, s.height, s.width});
  }
};

/// The weights as a backward multiplies with them.
struct DrawBackFactors {
  PackedFactor states, read, latent, decoder_ih, decoder_hh, write;

  DrawBackFactors(const DrawShape& s, const DrawWeights& w, const DrawOptions& o)
      : states(from_states(s, w)),
        read(from_read(s, o, w.encoder_ih)),
        latent(w.latent),
        decoder_ih(w.decoder_ih),
        decoder_hh(w.decoder_hh),
        write(w.write) {}
};

/// What backward is given, for the whole batch.
struct DrawGiven {
  const DrawCotangents& grads;
  const at::Tensor &image, &noise;
  const DrawTape& tape;
};

class DrawBackwardRows {
 public:
  DrawBackwardRows(const DrawShape& s, const DrawOptions& o, const DrawBackFactors& f,
                   const DrawGiven& given, const DrawGradients& g)
      : s_(s), o_(o), f_(f), given_(given), all_(g) {}

  /// `part` says which filter banks are these rows'.
  void run(std::int64_t part, std::int64_t first, std::int64_t count) {
    take_rows(first, count);
    const bool kept = o_.attention;
    const at::Tensor* const read_kept = kept ? &given_.tape.read_kept[part * s_.steps] : nullptr;
    const at::Tensor* const write_kept = kept ? &given_.tape.write_kept[part * s_.steps] : nullptr;
    for (std::int64_t t = s_.steps - 1; t >= 0; --t) {
      const at::Tensor decoder = write_back(t, write_kept);
      const at::Tensor from_decoder = decode_back(t, decoder);
      encode_back(t);
      state_.narrow(1, 0, s_.decoder).add_(from_decoder);
      see_back(t, read_kept);
    }
    heads_[0].zero_();
    if (!o_.attention) return;
    heads_[0].narrow(1, s_.patch + 5, 5).copy_(window_);
    const at::Tensor decoder = draw_empty({s_.batch, s_.decoder}, image_);
    f_.write.into(decoder, heads_[0]);
    state_.narrow(1, 0, s_.decoder).add_(decoder);
  }

 private:
  void take_rows(std::int64_t first, std::int64_t count) {
    const DrawCotangents& grads = given_.grads;
    tape_ = rows_of(given_.tape, first, count);
    image_ = given_.image.narrow(0, first, count), noise_ = rows_of(given_.noise, first, count);
    s_.batch = count;
    grads_ = {{}, rows_of(grads.mean, first, count), rows_of(grads.log_sigma, first, count)};
    encoder_gates_ = rows_of(all_.encoder_gates, first, count);
    decoder_gates_ = rows_of(all_.decoder_gates, first, count);
    latents_ = rows_of(all_.latents, first, count), heads_ = rows_of(all_.heads, first, count);
    state_ = all_.states.narrow(0, first, count), canvas_ = all_.canvas.narrow(0, first, count);
    encoder_cell_ = all_.encoder_cell.narrow(0, first, count);
    decoder_cell_ = all_.decoder_cell.narrow(0, first, count);
    unused_ = draw_empty({count, std::max(s_.encoder, s_.decoder)}, image_);
    window_ = at::zeros({count, 5}, image_.options());
  }

  /// The gradient of h^dec_t, from what it wrote, the next read window and the steps behind.
  at::Tensor write_back(std::int64_t t, const at::Tensor* kept) {
    const at::Tensor heads = heads_[t + 1];
    if (o_.attention) {
      const at::Tensor made = tape_.heads[t + 1];
      const at::Tensor patch =
          made.narrow(1, 0, s_.patch).unflatten(1, {s_.channels, o_.write_size, o_.write_size});
      const auto [d_patch, d_window] = filterbank_write_backward_cpu(
          canvas_, patch, made.narrow(1, s_.patch, 5), {true, true}, kept[t]);
      heads.narrow(1, 0, s_.patch).copy_(d_patch.flatten(1));
      heads.narrow(1, s_.patch, 5).copy_(d_window);
      heads.narrow(1, s_.patch + 5, 5).copy_(window_);
    } else {
      heads.copy_(canvas_.flatten(1));
    }
    const at::Tensor decoder = draw_empty({s_.batch, s_.decoder}, image_);
    f_.write.into(decoder, heads);
    return decoder.add_(state_.narrow(1, 0, s_.decoder));
  }

  /// Through the decoder's cell; returns the gradient of h^dec_{t−1} and leaves that of (μ, log σ).
  at::Tensor decode_back(std::int64_t t, const at::Tensor& hidden) {
    step(hidden, tape_.decoder_cells, tape_.decoder_gates, t, decoder_gates_, decoder_cell_);
    const at::Tensor before = draw_empty({s_.batch, s_.decoder}, image_);
    f_.decoder_hh.into(before, decoder_gates_[t]);
    const at::Tensor code = draw_empty({s_.batch, s_.latent}, image_);
    f_.decoder_ih.into(code, decoder_gates_[t]);
    const at::Tensor mean = latents_[t].narrow(1, 0, s_.latent);
    at::Tensor log_sigma = latents_[t].narrow(1, s_.latent, s_.latent);
    mean.copy_(code);
    at::exp_out(log_sigma, tape_.latents[t].narrow(1, s_.latent, s_.latent));
    log_sigma.mul_(noise_[t]).mul_(code);  // dz ∘ σ ε; z − μ would lose what |μ| is above σ
    if (grads_.mean.defined()) mean.add_(grads_.mean[t]);
    if (grads_.log_sigma.defined()) log_sigma.add_(grads_.log_sigma[t]);
    return before;
  }

  /// Through latents and the encoder's cell; state_ becomes the gradient of the states before the step.
  void encode_back(std::int64_t t) {
    const at::Tensor hidden = draw_empty({s_.batch, s_.encoder}, image_);
    f_.latent.into(hidden, latents_[t]);
    hidden.add_(state_.narrow(1, s_.decoder, s_.encoder));
    step(hidden, tape_.encoder_cells, tape_.encoder_gates, t, encoder_gates_, encoder_cell_);
    f_.states.into(state_, encoder_gates_[t]);
  }

  /// From what was read to its window and, through x̂, to the canvas before the step.
  void see_back(std::int64_t t, const at::Tensor* kept) {
    const at::Tensor seen = tape_.images[t];
    at::Tensor d_error;
    if (o_.attention) {
      const at::Tensor d_read = draw_empty({s_.batch, s_.read}, image_);
      f_.read.into(d_read, encoder_gates_[t]);
      const auto [d_seen, d_window] = filterbank_read_backward_cpu(
          d_read.view({s_.batch, s_.seen, o_.read_size, o_.read_size}), seen,
          tape_.heads[t].narrow(1, s_.patch + 5, 5), o_.read_size, {true, true}, kept[t]);
      window_ = d_window;
      d_error = d_seen.narrow(1, s_.channels, s_.channels);
    } else {
      d_error = draw_empty(canvas_.sizes(), image_);
      f_.read.into(d_error.flatten(1), encoder_gates_[t]);
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
    with_scalar_type(image_, [&](auto zero) {
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

  DrawShape s_;  // with the number of these rows
  const DrawOptions& o_;
  const DrawBackFactors& f_;
  const DrawGiven& given_;
  const DrawGradients& all_;
  DrawTape tape_;
  at::Tensor image_, noise_;
  DrawCotangents grads_;
  at::Tensor encoder_gates_, decoder_gates_, latents_, heads_;  // gradients, of every step
  at::Tensor state_, encoder_cell_, decoder_cell_, window_, canvas_, unused_;
};

/// into ← Σ over rows of gradᵀ input
void draw_weight(const at::Tensor& into, const at::Tensor& grad, const at::Tensor& input) {
  product_into(into, all_rows(grad).t(), all_rows(input));
}

at::Tensor encoder_ih_gradient(const DrawShape& s, const DrawGradients& g, const DrawTape& tape,
                               const at::Tensor& image) {
  const at::Tensor out = draw_empty({4 * s.encoder, s.read + s.decoder}, image);
  if (tape.reads.defined()) {
    draw_weight(out.narrow(1, 0, s.read), g.encoder_gates, tape.reads);
  } else {  // x is the same at every step
    product_into(out.narrow(1, 0, s.pixels()), g.encoder_gates.sum(0).t(), image.flatten(1));
    draw_weight(out.narrow(1, s.pixels(), s.pixels()), g.encoder_gates, tape.images.flatten(2));
  }
  const at::Tensor before = tape.states.narrow(0, 0, s.steps).narrow(2, 0, s.decoder);
  draw_weight(out.narrow(1, s.read, s.decoder), g.encoder_gates, before);
  return out;
}

TensorList weight_gradients(const DrawShape& s, const DrawGradients& g, const DrawTape& tape,
                            const at::Tensor& image) {
  const at::Tensor decoder = tape.states.narrow(2, 0, s.decoder);          // [T+1,B,Hd]
  const at::Tensor encoder = tape.states.narrow(2, s.decoder, s.encoder);  // [T+1,B,He]
  const std::int64_t n = s.steps;
  const auto of = [&](const at::Tensor& grad, const at::Tensor& input) {
    const at::Tensor out = draw_empty({grad.size(2), input.size(2)}, image);
    draw_weight(out, grad, input);
    return out;
  };
  const auto bias = [](const at::Tensor& grad) { return all_rows(grad).sum(0); };
  return {g.canvas.sum(0),
          g.states.narrow(1, s.decoder, s.encoder).sum(0),
          g.encoder_cell.sum(0),
          g.states.narrow(1, 0, s.decoder).sum(0),
          g.decoder_cell.sum(0),
          encoder_ih_gradient(s, g, tape, image),
          of(g.encoder_gates, encoder.narrow(0, 0, n)),
          bias(g.encoder_gates),
          of(g.latents, encoder.narrow(0, 1, n)),
          bias(g.latents),
          of(g.decoder_gates, tape.codes),
          of(g.decoder_gates, decoder.narrow(0, 0, n)),
          bias(g.decoder_gates),
          of(g.heads, decoder),
          bias(g.heads)};
}

}  // namespace

TensorList draw_backward(const DrawCotangents& grads, const at::Tensor& given,
                         const at::Tensor& given_noise, const DrawWeights& w, const DrawOptions& o,
                         const DrawTape& tape) {
  const DrawShape s = check_draw(given, given_noise, w, o);
  const at::Tensor image = given.contiguous(), noise = given_noise.contiguous();
  const DrawGiven all{grads, image, noise, tape};
  const DrawBackFactors factors(s, w, o);
  const DrawGradients g(s, image, grads.canvas);
  // The rows as the forward cut them: what its filter banks kept is in pieces.
  const std::int64_t parts = o.attention
                                 ? static_cast<std::int64_t>(tape.read_kept.size()) / s.steps
                                 : draw_parts(s.batch);
  draw_share(s.batch, parts, [&](int part, std::int64_t first, std::int64_t count) {
    DrawBackwardRows(s, o, factors, all, g).run(part, first, count);
  });
  return weight_gradients(s, g, tape, image);
}

}  // namespace attend
