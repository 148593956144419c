#pragma once
#include <attend/data/codec.h>
#include <attend/models/bert.h>

#include <string>

/// A pretrained encoder as Hugging Face lays it out: a folder with config.json, model.safetensors, and tokenizer.json or
/// vocab.txt.
namespace attend::interop {

/// FOLDER/config.json: hidden_size, num_hidden_layers, num_attention_heads, intermediate_size, hidden_act (gelu, gelu_new,
/// gelu_pytorch_tanh or relu), max_position_embeddings, type_vocab_size, layer_norm_eps and vocab_size, each required; other
/// keys are not read. Throws kBadInput naming file and key: another model_type than bert, relative positions, a decoder, a
/// value out of its range, heads that do not divide the width; kIo when there is no such file.
models::BertConfig read_bert_config(const std::string& folder);

/// FOLDER/tokenizer.json, else FOLDER/vocab.txt, whose texts are lower-cased as FOLDER/tokenizer_config.json's do_lower_case
/// says (true without such a file). Throws kBadInput when it is not WordPiece, has another number of ids than `config`
/// (a vocabulary padded with unused ids may be shorter) or [PAD] is not id 0; else as load_codec.
data::TextCodec read_bert_codec(const std::string& folder, const models::BertConfig& config);

/// Copies FOLDER/model.safetensors into the encoder by Hugging Face's names, with or without "bert." in front; float32,
/// float16 or bfloat16. Of what else such files hold, position_ids, the pooler and the heads of pretraining (cls.*) are left
/// out. Throws kBadInput naming the tensor that is missing, left over or of another shape; nothing is changed then.
void load_bert(models::BertEncoder& encoder, const std::string& folder);

/// An encoder with the folder's weights, whose sizes are compared with the file's before anything is allocated. `config` is
/// read_bert_config's, perhaps with another dropout.
models::BertEncoder read_bert(const std::string& folder, const models::BertConfig& config);

}  // namespace attend::interop
