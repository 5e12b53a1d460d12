// The record beside OUTPUT: what a conversion did to which files.
#pragma once

#include <string>

#include "ckpt/formats/convert_file.h"
#include "cli/report/report.h"

namespace ckpt::cli {

// `tool` is the program with its version.
std::string RecordText(const Conversion& conversion, const formats::ConversionRecord& files,
                       const std::string& tool);

}  // namespace ckpt::cli
