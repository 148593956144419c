// A folder of Hugging Face's: names with and without a prefix, dtypes, what is left out, and every way in which it can be wrong.
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "attend/base/file.h"
#include "attend/interop/bert.h"
#include "attend/interop/safetensors.h"
#include "support/compare.h"
#include "support/data.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace attend::interop {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kTiny = std::string(ATTEND_GOLDEN) + "/bert";

/// The tiny folder, to be spoilt.
class Copied {
 public:
  Copied() {
    for (const char* name : {"config.json", "model.safetensors", "tokenizer.json", "vocab.txt"})
      fs::copy_file(kTiny + "/" + name, path(name));
  }
  std::string path(const std::string& name = "") const { return folder_ / name; }
  std::string read(const std::string& name) const { return read_file(path(name)); }
  void write(const std::string& name, const std::string& bytes) const {
    write_file_atomically(path(name), bytes);
  }
  void replace(const std::string& name, const std::string& from, const std::string& to) const {
    std::string text = read(name);
    const std::size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    write(name, text.replace(at, from.size(), to));
  }
  /// Rewrites the weights, each tensor by `change` (name and tensor; an empty name leaves it out).
  template <class Change>
  void rewrite(const Change& change, const nn::NamedTensors& more = {}) const {
    SafetensorsFile file = read_safetensors(path("model.safetensors")), out;
    for (auto [name, tensor] : file.tensors) {
      change(name, tensor);
      if (!name.empty()) out.tensors.emplace_back(name, tensor);
    }
    for (const auto& one : more) out.tensors.push_back(one);
    write("model.safetensors", safetensors_bytes(out));
  }

 private:
  test::TemporaryFolder folder_;
};

models::BertEncoder tiny_encoder() { return read_bert(kTiny, read_bert_config(kTiny)); }

bool same_weights(const models::BertEncoder& a, const models::BertEncoder& b) {
  const auto x = a.parameters(), y = b.parameters();
  for (std::size_t i = 0; i < x.size(); ++i)
    if (!at::equal(x[i].second, y[i].second)) return false;
  return x.size() == y.size();
}

TEST(BertFolder, TheConfigIsReadByName) {
  const models::BertConfig c = read_bert_config(kTiny);
  EXPECT_EQ(c.vocabulary, 72);
  EXPECT_EQ(c.width, 8);
  EXPECT_EQ(c.layers, 2);
  EXPECT_EQ(c.heads, 2);
  EXPECT_EQ(c.feed_forward, 12);
  EXPECT_EQ(c.max_positions, 40);
  EXPECT_EQ(c.token_types, 2);
  EXPECT_EQ(c.activation, Activation::kGelu);
  EXPECT_EQ(c.layer_norm_eps, 1e-12);
}

TEST(BertFolder, ActivationsByName) {
  for (const auto& [name, activation] : {std::pair{"gelu_new", Activation::kGeluTanh},
                                         std::pair{"gelu_pytorch_tanh", Activation::kGeluTanh},
                                         std::pair{"relu", Activation::kRelu}}) {
    const Copied folder;
    folder.replace("config.json", "\"gelu\"", "\"" + std::string(name) + "\"");
    EXPECT_EQ(read_bert_config(folder.path()).activation, activation) << name;
  }
}

TEST(BertFolder, PrefixHeadsAndOldNames) {
  const auto expected = tiny_encoder();
  {
    const Copied folder;
    folder.rewrite([](std::string& name, at::Tensor&) { name = "bert." + name; },
                   {{"bert.pooler.dense.weight", at::ones({8, 8})},
                    {"cls.predictions.bias", at::ones({72})},
                    {"bert.embeddings.position_ids", at::zeros({1, 40}, at::kLong)}});
    EXPECT_TRUE(same_weights(read_bert(folder.path(), read_bert_config(folder.path())), expected));
  }
  {
    const Copied folder;
    folder.rewrite([](std::string& name, at::Tensor&) {
      if (name.ends_with("LayerNorm.weight")) name.replace(name.size() - 6, 6, "gamma");
      if (name.ends_with("LayerNorm.bias")) name.replace(name.size() - 4, 4, "beta");
    });
    EXPECT_TRUE(same_weights(read_bert(folder.path(), read_bert_config(folder.path())), expected));
  }
}

TEST(BertFolder, HalfPrecisionIsWidened) {
  for (const at::ScalarType dtype : {at::kHalf, at::kBFloat16}) {
    const Copied folder;
    folder.rewrite([&](std::string&, at::Tensor& t) { t = t.to(dtype); });
    const auto wide = read_bert(folder.path(), read_bert_config(folder.path()));
    const auto expected = tiny_encoder();
    for (std::size_t i = 0; i < expected.parameters().size(); ++i)
      EXPECT_TRUE(at::equal(wide.parameters()[i].second,
                            expected.parameters()[i].second.to(dtype).to(at::kFloat)));
  }
}

TEST(BertFolder, WeightsThatDontFit) {
  const auto says = [](const auto& change, const nn::NamedTensors& more = {}) {
    const Copied folder;
    folder.rewrite(change, more);
    auto encoder = tiny_encoder();
    const auto before = tiny_encoder();
    const std::string told = message_of([&] { load_bert(encoder, folder.path()); });
    EXPECT_TRUE(same_weights(encoder, before)) << "changed by a file that was refused";
    return told;
  };
  const auto nothing = [](std::string&, at::Tensor&) {};
  EXPECT_EQ(says(nothing), "");
  const std::string query = "encoder.layer.1.attention.self.query.weight";
  EXPECT_THAT(says([&](std::string& name, at::Tensor&) { name = name == query ? "" : name; }),
              HasSubstr("tensor '" + query + "' is missing"));
  EXPECT_THAT(says([&](std::string& name, at::Tensor& t) {
                t = name == query ? at::ones({8, 9}) : t;
              }),
              AllOf(HasSubstr("'" + query + "' is float [8, 9]"), HasSubstr("says float [8, 8]")));
  EXPECT_THAT(
      says([&](std::string& name, at::Tensor& t) { t = name == query ? t.to(at::kLong) : t; }),
      HasSubstr("is long int [8, 8], config.json says float"));
  EXPECT_THAT(says(nothing, {{"encoder.layer.2.output.dense.bias", at::ones({8})}}),
              HasSubstr("'encoder.layer.2.output.dense.bias' is none that a BERT encoder"));
  EXPECT_THAT(says(nothing, {{"bert." + query, at::ones({8, 8})}}), HasSubstr("is there twice"));
}

TEST(BertFolder, ConfigsThatDontFit) {
  const auto says = [](const std::string& from, const std::string& to) {
    const Copied folder;
    folder.replace("config.json", from, to);
    return message_of([&] { read_bert(folder.path(), read_bert_config(folder.path())); });
  };
  for (const char* key : {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
                          "intermediate_size", "hidden_act", "max_position_embeddings",
                          "type_vocab_size", "layer_norm_eps", "model_type"}) {
    EXPECT_THAT(says(std::string("\"") + key + "\"", "\"other\""),
                AllOf(HasSubstr("config.json: '"), HasSubstr(std::string(key) + "' is missing")));
  }
  EXPECT_THAT(says("\"hidden_size\": 8", "\"hidden_size\": \"8\""),
              HasSubstr("'hidden_size' is \"8\", expected a whole number"));
  EXPECT_THAT(says("\"hidden_size\": 8", "\"hidden_size\": -8"), HasSubstr("a whole number"));
  EXPECT_THAT(says("\"hidden_size\": 8", "\"hidden_size\": 8.5"), HasSubstr("a whole number"));
  EXPECT_THAT(says("\"hidden_size\": 8", "\"hidden_size\": 99999999999999999999"),
              HasSubstr("a whole number"));
  EXPECT_THAT(says("\"layer_norm_eps\": 1e-12", "\"layer_norm_eps\": null"), HasSubstr("a number"));
  EXPECT_THAT(says("\"gelu\"", "\"swish\""), HasSubstr("'hidden_act' is 'swish'"));
  EXPECT_THAT(says("\"model_type\": \"bert\"", "\"model_type\": \"roberta\""),
              HasSubstr("model_type is 'roberta', expected 'bert'"));
  EXPECT_THAT(says("\"absolute\"", "\"relative_key\""), HasSubstr("only absolute positions"));
  EXPECT_THAT(says("\"use_cache\": true", "\"is_decoder\": true"), HasSubstr("'is_decoder'"));
  EXPECT_THAT(says("\"num_attention_heads\": 2", "\"num_attention_heads\": 3"),
              HasSubstr("a multiple of model.heads = 3"));
  EXPECT_THAT(says("\"hidden_size\": 8", "\"hidden_size\": 1048576"),
              HasSubstr("bytes are too few for the"));
  EXPECT_THAT(says("\"vocab_size\": 72", "\"vocab_size\": 71"),
              AllOf(HasSubstr("'embeddings.word_embeddings.weight' is float [72, 8]"),
                    HasSubstr("says float [71, 8]")));
  EXPECT_THAT(says("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1"),
              HasSubstr("'encoder.layer.1.attention.output.LayerNorm.bias' is none"));
  EXPECT_THAT(says("{", ""), HasSubstr("config.json: not JSON"));
  const Copied folder;
  folder.write("config.json", "[]");
  EXPECT_THAT(message_of([&] { read_bert_config(folder.path()); }), HasSubstr("an object"));
  fs::remove(folder.path("config.json"));
  EXPECT_THAT(message_of([&] { read_bert_config(folder.path()); }), HasSubstr("config.json"));
}

TEST(BertFolder, AFileCutShort) {
  const std::string whole = read_file(kTiny + "/model.safetensors");
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{7}, whole.size() / 2, whole.size() - 1}) {
    const Copied folder;
    folder.write("model.safetensors", whole.substr(0, size));
    EXPECT_THAT(message_of([&] { read_bert(folder.path(), read_bert_config(folder.path())); }),
                HasSubstr("model.safetensors"))
        << size;
  }
  const Copied folder;
  fs::remove(folder.path("model.safetensors"));
  EXPECT_THAT(message_of([&] { read_bert(folder.path(), read_bert_config(folder.path())); }),
              HasSubstr("model.safetensors: cannot read"));
}

TEST(BertFolder, TheVocabularyOfEitherFile) {
  const models::BertConfig config = read_bert_config(kTiny);
  const std::vector<std::int64_t> ids = read_bert_codec(kTiny, config).encode("Not badly!");
  EXPECT_THAT(ids, ElementsAre(9, 13, 14, 18));
  const Copied folder;
  fs::remove(folder.path("tokenizer.json"));
  EXPECT_EQ(read_bert_codec(folder.path(), config).encode("Not badly!"), ids);
  folder.write("tokenizer_config.json", "{\"do_lower_case\": false}");
  EXPECT_THAT(read_bert_codec(folder.path(), config).encode("Not badly!"),
              ElementsAre(1, 13, 14, 18));
  folder.write("tokenizer_config.json", "{\"do_lower_case\": 1}");
  EXPECT_THAT(message_of([&] { read_bert_codec(folder.path(), config); }),
              HasSubstr("'do_lower_case' must be true or false"));
}

TEST(BertFolder, VocabulariesThatDontFit) {
  models::BertConfig config = read_bert_config(kTiny);
  const auto says = [&](const std::string& from, const std::string& to,
                        const std::string& name = "vocab.txt") {
    const Copied folder;
    folder.replace(name, from, to);
    if (name == "vocab.txt") fs::remove(folder.path("tokenizer.json"));
    return message_of([&] { read_bert_codec(folder.path(), config); });
  };
  EXPECT_THAT(says("was\n", "\n"), HasSubstr("vocab.txt:7: an empty line"));
  EXPECT_THAT(says("was\n", "the\n"), HasSubstr("'the' is in line 6 already"));
  EXPECT_THAT(says("was\n", "was\nwere\n"),
              HasSubstr("73 tokens, but config.json's vocab_size is 72"));
  EXPECT_EQ(says("was\n", ""), "");  // a table padded with unused rows
  EXPECT_THAT(says("[PAD]\n[UNK]\n", "[UNK]\n[PAD]\n"), HasSubstr("[PAD] has id 1, expected 0"));
  EXPECT_THAT(says("[SEP]\n", "[S]\n"), HasSubstr("'[SEP]'"));
  EXPECT_THAT(says("\"the\": 5", "\"the\": 6", "tokenizer.json"), HasSubstr("'the'"));
  const Copied folder;
  fs::remove(folder.path("tokenizer.json"));
  fs::remove(folder.path("vocab.txt"));
  EXPECT_THAT(message_of([&] { read_bert_codec(folder.path(), config); }), HasSubstr("vocab.txt"));
}

}  // namespace
}  // namespace attend::interop
