// SPDX-License-Identifier: Apache-2.0
//
// Plans of a cutover and a rollback as dictionaries. The keys are the field names of the classes in
// python/waybill/cutover.py, which are built from them by keyword.
#include <array>

#include "record_fields.hpp"

namespace waybill::python {
namespace {

const char* word(Catalog::Conditional conditional) {
  constexpr std::array words = {"none", "weak", "exact"};
  return words.at(static_cast<size_t>(conditional));
}

py::dict to_dict(const CutoverPlan::Example& example) {
  py::dict out;
  out["catalog"] = to_text(example.id.catalog);
  out["record"] = to_text(example.id.record);
  out["field"] = to_text(example.id.field);
  out["partition"] = to_text(example.partition);
  out["state"] = to_string(example.state);
  out["value"] = to_text(example.value);
  out["intended"] = to_text(example.intended);
  out["reason"] = to_text(example.reason);
  return out;
}

py::list to_list(const std::vector<CutoverPlan::Example>& examples) {
  py::list out;
  for (const CutoverPlan::Example& example : examples) out.append(to_dict(example));
  return out;
}

py::dict to_dict(const Gate& gate) {
  py::dict out;
  out["name"] = to_text(gate.name);
  out["is_passed"] = gate.is_passed;
  out["count"] = gate.count;
  out["evidence"] = to_text(gate.evidence);
  return out;
}

}  // namespace

py::dict to_dict(const CutoverPlan& plan) {
  py::list gates;
  for (const Gate& gate : plan.gates) gates.append(to_dict(gate));
  py::dict out;
  out["hash"] = to_text(plan.hash);
  out["pass_"] = plan.pass;  // the other name is a keyword of Python's
  out["is_ready"] = plan.is_ready;
  out["references"] = RecordWriter<false>::dict_of(plan.references);
  out["items"] = plan.items;
  out["conditional"] = word(plan.conditional);
  out["gates"] = gates;
  out["examples"] = to_list(plan.examples);
  out["unswitched"] = to_list(plan.unswitched);
  out["json"] = to_text(to_json(plan));
  return out;
}

py::dict to_dict(const RollbackPlan& plan) {
  py::dict out;
  out["references"] = plan.references;
  out["accounts"] = RecordWriter<false>::dict_of(plan.accounts);
  out["examples"] = to_list(plan.examples);
  out["json"] = to_text(to_json(plan));
  return out;
}

}  // namespace waybill::python
