#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <map>
#include <utility>

#include "attend/models/language_model.h"

namespace attend::models {

void reorder(LanguageState& state, const at::Tensor& rows) {
  if (state.rows.empty()) return;
  const at::NoGradGuard off;
  if (at::equal(rows, at::arange(state.rows.front().size(0), rows.options()))) return;
  for (at::Tensor& x : state.rows) x = x.index_select(0, rows);
}

LanguageSteps::LanguageSteps(LanguageModel& model, std::vector<std::vector<std::int64_t>> prompts)
    : model_(model), prompts_(std::move(prompts)) {}

StepResult LanguageSteps::step(const at::Tensor& tokens, const at::Tensor& parents) {
  groups_ = groups_.empty() ? begin(tokens, parents) : follow(tokens, parents);
  at::Tensor out;
  for (Group& group : groups_) {
    const at::Tensor said = read_on(group);
    if (!out.defined()) out = at::empty({tokens.size(0), said.size(1)}, said.options());
    out.index_copy_(0, at::tensor(group.places, at::kLong), said);
  }
  return {out, {}};
}

std::vector<LanguageSteps::Group> LanguageSteps::begin(const at::Tensor& tokens,
                                                       const at::Tensor& parents) const {
  const std::int64_t* token = tokens.const_data_ptr<std::int64_t>();
  const std::int64_t* parent = parents.const_data_ptr<std::int64_t>();
  const auto most = static_cast<std::size_t>(model_.config().max_length);
  std::map<std::size_t, Group> of_length;
  for (std::int64_t r = 0; r < tokens.size(0); ++r) {
    std::vector<std::int64_t> row{token[r]};
    const auto& prompt = prompts_.at(static_cast<std::size_t>(parent[r]));
    row.insert(row.end(), prompt.begin(), prompt.end());
    if (row.size() > most) row.erase(row.begin(), row.end() - static_cast<std::ptrdiff_t>(most));
    Group& group = of_length[row.size()];
    group.places.push_back(r), group.read.push_back(std::move(row));
  }
  std::vector<Group> out;
  out.reserve(of_length.size());
  for (auto& [length, group] : of_length) out.push_back(std::move(group));
  return out;
}

std::vector<LanguageSteps::Group> LanguageSteps::follow(const at::Tensor& tokens,
                                                        const at::Tensor& parents) {
  const std::int64_t* token = tokens.const_data_ptr<std::int64_t>();
  const std::int64_t* parent = parents.const_data_ptr<std::int64_t>();
  std::map<std::int64_t, std::pair<std::size_t, std::size_t>>
      before;  // row -> group, and where in it
  for (std::size_t g = 0; g < groups_.size(); ++g)
    for (std::size_t i = 0; i < groups_[g].places.size(); ++i)
      before[groups_[g].places[i]] = {g, i};
  std::vector<Group> out(groups_.size());
  std::vector<std::vector<std::int64_t>> kept(groups_.size());
  for (std::int64_t r = 0; r < tokens.size(0); ++r) {
    const auto [g, i] = before.at(parent[r]);
    out[g].places.push_back(r), kept[g].push_back(static_cast<std::int64_t>(i));
    out[g].read.push_back(groups_[g].read[i]);
    out[g].read.back().push_back(token[r]);
  }
  for (std::size_t g = 0; g < out.size(); ++g) {
    out[g].state = std::move(groups_[g].state);
    if (!kept[g].empty()) reorder(out[g].state, at::tensor(kept[g], at::kLong));
  }
  std::erase_if(out, [](const Group& group) { return group.places.empty(); });
  return out;
}

at::Tensor LanguageSteps::read_on(Group& group) {
  const std::int64_t most = model_.config().max_length;
  if (static_cast<std::int64_t>(group.read.front().size()) > most) {
    const std::int64_t half = (most + 1) / 2;
    for (auto& row : group.read) row.erase(row.begin(), row.end() - half);
    group.state = {};
  }
  const auto length = static_cast<std::int64_t>(group.read.front().size());
  const at::Tensor unread = at::empty(
      {static_cast<std::int64_t>(group.read.size()), length - group.state.length}, at::kLong);
  std::int64_t* to = unread.mutable_data_ptr<std::int64_t>();
  for (const auto& row : group.read)
    to = std::copy(row.begin() + group.state.length, row.end(), to);
  return model_.next(unread, group.state);
}

}  // namespace attend::models
