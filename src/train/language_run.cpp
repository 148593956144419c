#include "attend/base/error.h"
#include "attend/base/file.h"
#include "attend/decode/search.h"
#include "attend/train/language.h"
#include "train/chosen_part.h"
#include "train/language.h"
#include "train/run_files.h"

namespace attend::train {
namespace {

constexpr std::int64_t kContinued = 200;  // tokens, unless decode.max_length says

}  // namespace

LanguageRun load_language(const std::string& given) {
  const RunFiles files = open_run(given, TaskKind::kLanguage);
  const std::string config_path = files.path + "/config.json";
  const models::LanguageConfig config =
      language_from_config_json(read_file(config_path), config_path);
  LanguageRun run{files, config, data::load_codec(files.path + "/tokenizer.json"), nullptr};
  if (run.codec.size() != config.vocabulary)
    fail_input(config_path + ": its vocabulary size is not that of tokenizer.json");
  run.model = models::make_language_model(config, 0);
  load_parameters(run.model->parameters(), files.path + "/model.safetensors");
  return run;
}

std::vector<Continuation> continue_texts(const LanguageRun& run,
                                         const std::vector<std::string>& prompts,
                                         std::uint64_t seed) {
  std::vector<std::vector<std::int64_t>> ids;
  ids.reserve(prompts.size());
  for (const std::string& prompt : prompts) ids.push_back(run.codec.encode(prompt));
  models::LanguageSteps steps(*run.model, std::move(ids));
  const Recipe::Decode& how = run.recipe.decode;
  decode::SearchOptions options;
  // Running text has no end: what ends it is its length.
  options.forbidden = {models::kPadding, models::kUnknown, models::kBegin};
  options.max_length = how.max_length > 0 ? how.max_length : kContinued;
  options.min_length = options.max_length;
  decode::SampleOptions sampling;
  sampling.temperature = how.temperature, sampling.top_k = how.top_k, sampling.top_p = how.top_p;
  sampling.seed = seed;
  std::vector<Continuation> out;
  for (const auto& found : decode::sample(steps, options, sampling))
    out.push_back({run.codec.decode(found.front().tokens), found.front().log_probability});
  return out;
}

LanguageEvaluation evaluate(const LanguageRun& run, const std::string& data,
                            const std::string& split) {
  const Recipe recipe = recipe_on(run.recipe, data);
  LanguageEvaluation out{run.path, recipe.data.name, split, 0, {}};
  const data::RunningText text = load_text_of(recipe);
  const Part part =
      chosen_part(out.split, out.data, "text", [&](Part p) { return !part_of(text, p).empty(); });
  const TextRows rows(part_of(text, part), run.codec, run.config.max_length);
  out.n = rows.tokens();
  out.metrics = measure(*run.model, rows);
  return out;
}

}  // namespace attend::train
