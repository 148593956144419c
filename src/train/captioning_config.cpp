#include "train/captioning.h"
#include "train/config_fields.h"
#include "train/schema.h"

namespace attend::train {
namespace {

constexpr char kCaptionerType[] = "attend-captioner";

const std::vector<std::string> kNetworks{"small", "mobilenet", "squeezenet"};  // EncoderNetwork

constexpr auto kCaptionerFields = [](auto& f, auto& c) {
  f("image_size", c.encoder.image_size);
  f("stride", c.encoder.stride);
  f("layers", c.encoder.layers);
  f("annotation_width", c.encoder.width);
  f("vocabulary", c.captioner.vocabulary);
  f("max_length", c.captioner.max_length);
  f("embedding_width", c.captioner.embedding_width);
  f("hidden", c.captioner.hidden);
  f("attention_width", c.captioner.attention_width);
  f("dropout", c.captioner.dropout);
  f("attention", c.captioner.attention, choices_of(TaskKind::kCaptioning, "model.attention.kind"));
  f("doubly_stochastic", c.captioner.doubly_stochastic);
  f("reward_weight", c.captioner.reward_weight);
  f("entropy_weight", c.captioner.entropy_weight);
  f("expected_share", c.captioner.expected_share);
  f.added("architecture", c.captioner.architecture,
          choices_of(TaskKind::kCaptioning, "model.architecture"));
  f.added("decoder_layers", c.captioner.layers);
  f.added("heads", c.captioner.heads);
  f.added("feed_forward", c.captioner.feed_forward);
  f.added("encoder", c.encoder.network, kNetworks);
  f.added("encoder_multiplier", c.encoder.multiplier);
  f.added("encoder_frozen", c.encoder.frozen);
};

void check(const CaptioningConfig& c) {
  models::check_config(c.encoder);
  models::check_config(c.captioner);
}

}  // namespace

CaptioningConfig captioning_config(const Recipe& recipe, std::int64_t vocabulary) {
  return captioning_config(recipe, vocabulary, open_image_network(recipe));
}

CaptioningConfig captioning_config(const Recipe& recipe, std::int64_t vocabulary,
                                   const std::optional<interop::ImageNetwork>& network) {
  const Recipe::Model& m = recipe.model;
  CaptioningConfig out;
  models::ImageEncoderConfig& e = out.encoder;
  e.image_size = recipe.data.caption_image_size, e.stride = m.stride;
  e.layers = m.layers, e.width = m.annotation_width;
  if (network) {
    e.network = network->network, e.multiplier = network->multiplier, e.frozen = m.freeze_encoder;
    // A stride that the network has not gets no width, and check says which there are.
    e.width = models::width_of(e.network, e.stride, e.multiplier);
  }
  models::CaptionerConfig& c = out.captioner;
  c.vocabulary = vocabulary, c.max_length = recipe.data.max_tokens;
  c.annotation_width = e.width, c.embedding_width = m.embedding_width;
  c.hidden = m.hidden, c.attention_width = m.attention_width, c.dropout = m.dropout;
  c.architecture = m.caption_architecture, c.attention = m.look;
  c.layers = m.decoder_layers, c.heads = m.heads, c.feed_forward = m.feed_forward;
  c.doubly_stochastic = recipe.train.doubly_stochastic;
  c.reward_weight = recipe.train.reward_weight, c.entropy_weight = recipe.train.entropy_weight;
  c.expected_share = recipe.train.expected_share;
  check(out);
  return out;
}

std::string to_config_json(const CaptioningConfig& c) {
  return write_config(kCaptionerType, "Captioner", c, kCaptionerFields);
}

CaptioningConfig captioning_from_config_json(const std::string& text, const std::string& name) {
  return read_config<CaptioningConfig>(text, name, kCaptionerType, kCaptionerFields,
                                       [](CaptioningConfig& c) {
                                         c.captioner.annotation_width = c.encoder.width;
                                         check(c);
                                       });
}

}  // namespace attend::train
