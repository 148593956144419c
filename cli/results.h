#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "attend/train/sweep.h"
#include "attend/train/trainer.h"

/// Results of training as tables and as the JSON that INTERFACE fixes.
namespace attend::cli {

class Output;

using Summary = std::vector<std::pair<std::string, train::MeanSd>>;

nlohmann::json document_of(const train::TrainResult& result);
nlohmann::json document_of(const train::SeedsResult& result);
nlohmann::json document_of(const Summary& summary);  ///< {"accuracy":{"mean","sd","n"},…}
nlohmann::json document_of(const train::Settings& settings);
std::string text_of(const train::Settings& settings);  ///< "optim.lr=0.001 model.hidden=50"
std::string epoch_line(const train::EpochRecord& record);
void print(Output& out, const train::TrainResult& result);
void print(Output& out, const train::SeedsResult& result);

}  // namespace attend::cli
