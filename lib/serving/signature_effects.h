// What a signature does besides answering: training, saving, writing variables.
#pragma once

#include <string>
#include <vector>

#include "serving/outputs.h"
#include "serving/working_graph.h"

namespace ckpt {

// Moves the recorded signatures that train, save or write a variable which served outputs read to
// `dropped`, each with the reason. What runs beside an output counts: what a call does whether its
// results are read or not, and control edges; branches that are decided do not. The moving
// statistics of batch norms may be written; that other variables are no longer written goes to
// `notes`. kUnfit, with the reasons, where no signature is left.
Status DropWhatDoesNotServe(const WorkingGraph& graph, const OpGraph& source,
                            std::vector<ServingSignature>& signatures,
                            std::vector<Dropped>& dropped, std::vector<std::string>& notes);

}  // namespace ckpt
