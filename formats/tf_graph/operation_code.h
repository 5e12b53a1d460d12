// Operations of TensorFlow that run code of their own or reach for files.
#pragma once

#include <string>
#include <vector>

#include "ckpt/op_graph.h"

namespace ckpt::formats {

// Of the top graph and of all functions, whether called or not: "the operation PyFunc". The savers
// that every exported graph holds are not among them, but where something else than a saver's
// function or the saver of the file has them.
//
// Source: tensorflow/core/ops/{io,script,dataset,lookup,summary,rpc,...}_ops.cc.
std::vector<std::string> CodeInOperations(const OpGraph& graph);

}  // namespace ckpt::formats
