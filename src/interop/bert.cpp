#include "attend/interop/bert.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>

#include <filesystem>
#include <map>
#include <vector>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "attend/interop/safetensors.h"
#include "data/json.h"

namespace attend::interop {
namespace {

namespace fs = std::filesystem;
using BertJson = nlohmann::json;

constexpr char kBertPrefix[] = "bert.";

/// The keys of one config.json.
class BertKeys {
 public:
  BertKeys(const BertJson& root, const std::string& name) : root_(root), name_(name) {
    if (!root.is_object()) fail_input(name + ": expected an object");
  }

  std::int64_t whole(const char* key) const {
    const BertJson& value = at(key);
    if (!value.is_number_integer() || value > std::int64_t{1} << 31 || value < 0)
      refuse(key, "a whole number from 0");
    return value.get<std::int64_t>();
  }
  double real(const char* key) const {
    if (!at(key).is_number()) refuse(key, "a number");
    return at(key).get<double>();
  }
  std::string text(const char* key) const {
    if (!at(key).is_string()) refuse(key, "text");
    return at(key).get<std::string>();
  }
  /// A key that may be missing must have this value.
  void require(const char* key, const BertJson& value, const char* why) const {
    if (root_.value(key, value) != value)
      fail_input(name_ + ": '" + key + "' is " + shown(root_.at(key)) + ": " + why);
  }

 private:
  static std::string shown(const BertJson& value) {
    return value.dump(-1, ' ', false, BertJson::error_handler_t::replace).substr(0, 60);
  }
  const BertJson& at(const char* key) const {
    const auto found = root_.find(key);
    if (found == root_.end()) fail_input(name_ + ": '" + key + "' is missing");
    return *found;
  }
  [[noreturn]] void refuse(const char* key, const char* expected) const {
    fail_input(name_ + ": '" + key + "' is " + shown(at(key)) + ", expected " + expected);
  }
  const BertJson& root_;
  const std::string& name_;
};

Activation activation_of(const BertKeys& keys, const std::string& name) {
  static const std::map<std::string, Activation> known = {
      {"gelu", Activation::kGelu},
      {"gelu_new", Activation::kGeluTanh},
      {"gelu_pytorch_tanh", Activation::kGeluTanh},
      {"relu", Activation::kRelu}};
  const std::string act = keys.text("hidden_act");
  if (const auto found = known.find(act); found != known.end()) return found->second;
  fail_input(name + ": 'hidden_act' is '" + act.substr(0, 60) +
             "', expected gelu, gelu_new, gelu_pytorch_tanh or relu");
}

/// One of our parameters and the tensors of the file, stacked, that it is made of.
struct BertSource {
  std::string ours;
  std::vector<std::string> theirs;
};

std::vector<BertSource> bert_sources(std::int64_t layers) {
  std::vector<BertSource> out = {
      {"embeddings.word.weight", {"embeddings.word_embeddings.weight"}},
      {"embeddings.position.weight", {"embeddings.position_embeddings.weight"}},
      {"embeddings.type.weight", {"embeddings.token_type_embeddings.weight"}}};
  const auto both = [&](const std::string& ours, const std::vector<std::string>& theirs) {
    for (const char* end : {"weight", "bias"}) {
      BertSource source{ours + end, {}};
      for (const std::string& name : theirs) source.theirs.push_back(name + "." + end);
      out.push_back(source);
    }
  };
  both("embeddings.norm.", {"embeddings.LayerNorm"});
  for (std::int64_t k = 0; k < layers; ++k) {
    const std::string ours = "encoder.layers." + std::to_string(k) + ".",
                      theirs = "encoder.layer." + std::to_string(k) + ".",
                      self = theirs + "attention.self.";
    both(ours + "self_attn.in_proj_", {self + "query", self + "key", self + "value"});
    both(ours + "self_attn.out_proj.", {theirs + "attention.output.dense"});
    both(ours + "norm1.", {theirs + "attention.output.LayerNorm"});
    both(ours + "linear1.", {theirs + "intermediate.dense"});
    both(ours + "linear2.", {theirs + "output.dense"});
    both(ours + "norm2.", {theirs + "output.LayerNorm"});
  }
  return out;
}

/// "bert.encoder.…" as "encoder.…", and the names LayerNorm.gamma and beta of the first files as today's.
std::string plain_name(const std::string& name) {
  std::string out = name.starts_with(kBertPrefix) ? name.substr(sizeof kBertPrefix - 1) : name;
  for (const auto& [old, now] : {std::pair{".gamma", ".weight"}, std::pair{".beta", ".bias"}})
    if (out.ends_with(std::string("LayerNorm") + old))
      out.replace(out.size() - std::string(old).size(), std::string::npos, now);
  return out;
}

bool is_left_out(const std::string& name) {
  return name == "embeddings.position_ids" || name.starts_with("pooler.") ||
         name.starts_with("cls.");
}

std::string bert_shape(at::IntArrayRef sizes) {
  std::string text = "[";
  for (const std::int64_t n : sizes) text += (text.size() > 1 ? ", " : "") + std::to_string(n);
  return text + "]";
}

/// The tensors of a file by plain name, each to be taken once.
class BertTensors {
 public:
  explicit BertTensors(const std::string& path) : path_(path) {
    for (const auto& [name, tensor] : read_safetensors(path).tensors)
      if (const std::string plain = plain_name(name); !is_left_out(plain))
        if (!all_.emplace(plain, tensor).second)
          fail_input(path + ": tensor '" + plain + "' is there twice, as '" + name + "' too");
  }

  at::Tensor take(const std::string& name, at::IntArrayRef shape) {
    const auto found = all_.find(name);
    if (found == all_.end()) fail_input(path_ + ": tensor '" + name + "' is missing");
    const at::Tensor out = found->second;
    if (out.sizes() != shape || !out.is_floating_point())
      fail_input(path_ + ": tensor '" + name + "' is " + std::string(out.dtype().name()) + " " +
                 bert_shape(out.sizes()) + ", config.json says float " + bert_shape(shape));
    all_.erase(found);
    return out;
  }

  void finish() const {
    if (!all_.empty())
      fail_input(path_ + ": tensor '" + all_.begin()->first + "' is none that a BERT encoder of " +
                 "config.json's sizes has" + (all_.size() > 1 ? ", nor are others" : ""));
  }

 private:
  const std::string& path_;
  std::map<std::string, at::Tensor> all_;
};

std::string bert_file(const std::string& folder, const char* name) {
  return (fs::path(folder) / name).string();
}

}  // namespace

models::BertConfig read_bert_config(const std::string& folder) {
  const std::string name = bert_file(folder, "config.json");
  const BertJson root = data::parse_json(read_file(name), name);
  const BertKeys keys(root, name);
  if (const std::string type = keys.text("model_type"); type != "bert")
    fail_input(name + ": model_type is '" + type.substr(0, 60) + "', expected 'bert'");
  keys.require("position_embedding_type", "absolute", "only absolute positions are known here");
  keys.require("is_decoder", false, "an encoder is expected");
  models::BertConfig out;
  out.vocabulary = keys.whole("vocab_size");
  out.width = keys.whole("hidden_size");
  out.layers = keys.whole("num_hidden_layers");
  out.heads = keys.whole("num_attention_heads");
  out.feed_forward = keys.whole("intermediate_size");
  out.max_positions = keys.whole("max_position_embeddings");
  out.token_types = keys.whole("type_vocab_size");
  out.activation = activation_of(keys, name);
  out.layer_norm_eps = keys.real("layer_norm_eps");
  try {
    models::check_config(out);
  } catch (const Error& e) {
    fail_input(name + ": " + e.what());
  }
  return out;
}

data::TextCodec read_bert_codec(const std::string& folder, const models::BertConfig& config) {
  const std::string json = bert_file(folder, "tokenizer.json"),
                    list = bert_file(folder, "vocab.txt"),
                    settings = bert_file(folder, "tokenizer_config.json");
  bool lower = true;
  const bool is_json = fs::exists(json);
  if (!is_json && fs::exists(settings)) {
    const BertJson root = data::parse_json(read_file(settings), settings);
    const BertJson given = root.is_object() ? root.value("do_lower_case", BertJson(true)) : root;
    if (!given.is_boolean()) fail_input(settings + ": 'do_lower_case' must be true or false");
    lower = given.get<bool>();
  }
  const std::string& name = is_json ? json : list;
  const data::TextCodec codec =
      is_json ? data::load_codec(json) : data::codec_from_vocab_txt(read_file(list), list, lower);
  if (codec.unit() != data::TextUnit::kWordPiece)
    fail_input(name + ": model.type is not WordPiece, which BERT's is");
  if (codec.pad() != 0)
    fail_input(name + ": [PAD] has id " + std::to_string(codec.pad()) + ", expected 0");
  if (codec.size() > config.vocabulary)
    fail_input(name + ": " + std::to_string(codec.size()) +
               " tokens, but config.json's vocab_size is " + std::to_string(config.vocabulary));
  return codec;
}

void load_bert(models::BertEncoder& encoder, const std::string& folder) {
  const std::string path = bert_file(folder, "model.safetensors");
  BertTensors file(path);
  std::map<std::string, at::Tensor> parameters;
  for (const auto& [name, tensor] : encoder.parameters()) parameters.emplace(name, tensor);
  std::vector<std::pair<at::Tensor, at::Tensor>> copies;  // to, from
  for (const BertSource& source : bert_sources(encoder.config().layers)) {
    const at::Tensor to = parameters.at(source.ours);
    std::vector<std::int64_t> shape = to.sizes().vec();
    shape[0] /= static_cast<std::int64_t>(source.theirs.size());
    std::vector<at::Tensor> parts;
    for (const std::string& name : source.theirs) parts.push_back(file.take(name, shape));
    copies.emplace_back(to, parts.size() == 1 ? parts[0] : at::cat(parts));
  }
  file.finish();
  const at::NoGradGuard no_grad;
  for (auto& [to, from] : copies) to.copy_(from);
}

models::BertEncoder read_bert(const std::string& folder, const models::BertConfig& config) {
  const std::string path = bert_file(folder, "model.safetensors");
  std::error_code error;
  const auto bytes = fs::file_size(path, error);
  if (error) fail_io(path + ": cannot read: " + error.message());
  if (static_cast<double>(bytes) < 2.0 * static_cast<double>(models::parameters_of(config)))
    fail_input(path + ": " + std::to_string(bytes) + " bytes are too few for the " +
               std::to_string(models::parameters_of(config)) + " numbers of config.json's sizes");
  models::BertEncoder out(config);
  load_bert(out, folder);
  return out;
}

}  // namespace attend::interop
