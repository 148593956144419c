#include <ATen/core/grad_mode.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cmath>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "attend/nn/init.h"
#include "train/annotations.h"
#include "train/captioning.h"
#include "train/chosen_part.h"
#include "train/run_files.h"

namespace attend::train {
namespace {

/// What `read` says of one hypothesis.
void add_reading(const CaptioningRun& run, const at::Tensor& annotations,
                 const decode::Hypothesis& h, WrittenCaption& out) {
  std::vector<std::int64_t> ids{models::kBegin};
  ids.insert(ids.end(), h.tokens.begin(), h.tokens.end());
  ids.push_back(models::kEnd);
  const models::CaptionReading read =
      run.model->captioner->read(annotations, at::tensor(ids, at::kLong).unsqueeze(0));
  const at::Tensor maps = read.maps[0].to(at::kDouble).contiguous();
  const std::int64_t places = maps.size(1);
  for (std::size_t t = 0; t < h.tokens.size(); ++t) {
    const auto at = static_cast<std::int64_t>(t);
    const double* map = maps.const_data_ptr<double>() + at * places;
    out.maps.emplace_back(map, map + places);
    out.gates.push_back(read.gates[0][at].item<double>());
    out.probabilities.push_back(std::exp(read.log_probabilities[0][at].item<double>()));
  }
}

}  // namespace

CaptionModel::CaptionModel(const CaptioningConfig& config, std::uint64_t seed)
    : encoder(config.encoder, seed),
      captioner(models::make_captioner(config.captioner, nn::seed_of_part(seed, 1))) {}

models::NamedTensors CaptionModel::parameters() const {
  models::NamedTensors out;
  nn::append(out, "encoder.", encoder.parameters());
  nn::append(out, "decoder.", captioner->parameters());
  return out;
}

CaptioningRun load_captioning(const std::string& given) {
  const RunFiles files = open_run(given, TaskKind::kCaptioning);
  const std::string config_path = files.path + "/config.json";
  const CaptioningConfig config = captioning_from_config_json(read_file(config_path), config_path);
  CaptioningRun run{files, config, data::load_codec(files.path + "/tokenizer.json"), nullptr};
  if (run.codec.size() != config.captioner.vocabulary)
    fail_input(config_path + ": its vocabulary is not that of tokenizer.json");
  run.model = std::make_shared<CaptionModel>(config, 0);
  load_parameters(run.model->parameters(), files.path + "/model.safetensors");
  return run;
}

std::vector<WrittenCaption> caption(const CaptioningRun& run,
                                    const std::vector<data::Image>& images) {
  return caption(run, images, run.recipe.decode);
}

std::vector<WrittenCaption> caption(const CaptioningRun& run,
                                    const std::vector<data::Image>& images,
                                    const Recipe::Decode& how) {
  data::CaptionSet set;
  for (const data::Image& image : images)
    set.images.push_back({"", [&image] { return image; }, {}});
  std::vector<std::string> notes;
  const AnnotatedImages annotated(run.model->encoder,
                                  SquareImages(set, run.config.encoder.image_size, notes));
  const std::vector<decode::Hypothesis> found =
      search(*run.model, annotated, static_cast<std::int64_t>(images.size()), how);
  const at::NoGradGuard off;
  std::vector<WrittenCaption> out;
  for (std::size_t i = 0; i < found.size(); ++i) {
    WrittenCaption one;
    one.text = run.codec.decode(found[i].tokens);
    one.score = found[i].score;
    one.tokens = run.codec.words(found[i].tokens);
    one.side = run.config.encoder.side();
    add_reading(run, annotated.batch({static_cast<std::int64_t>(i)}), found[i], one);
    out.push_back(std::move(one));
  }
  return out;
}

CaptionedPart captioned_part(const CaptioningRun& run, const std::string& data,
                             const std::string& split) {
  const Recipe recipe = recipe_on(run.recipe, data);
  CaptionedPart out{recipe.data.name, split, {}};
  const data::CaptionCorpus corpus = load_captions_of(recipe);
  out.set = part_of(corpus, chosen_part(out.split, out.data, "images", [&](Part part) {
                      return !part_of(corpus, part).images.empty();
                    }));
  return out;
}

CaptioningEvaluation evaluate(const CaptioningRun& run, const std::string& data,
                              const std::string& split) {
  CaptionedPart part = captioned_part(run, data, split);
  CaptioningEvaluation out{run.path, part.data, part.split, 0, {}, {}};
  if (const std::string bad = data::describe_bad_lines(part.set); !bad.empty())
    out.notes.push_back(bad);
  AnnotatedImages images(run.model->encoder,
                         SquareImages(part.set, run.config.encoder.image_size, out.notes));
  images.keep(out.notes);
  std::int64_t cut = 0;
  const std::vector<CaptionRow> rows =
      encode_captions(part.set, run.codec, run.config.captioner.max_length, cut);
  if (cut > 0)
    out.notes.push_back(std::to_string(cut) + " of " + std::to_string(rows.size()) +
                        " captions are longer than data.max_tokens and were cut");
  out.n = static_cast<std::int64_t>(part.set.images.size());
  out.metrics = read_metrics(*run.model, part.set, images, rows, run.codec);
  out.metrics.merge(
      written_metrics(search(*run.model, images, out.n, run.recipe.decode), part.set, run.codec));
  return out;
}

}  // namespace attend::train
