// Where the sources and the programs under test lie: no options of the compiler, so that what was
// compiled in one checkout serves in another one (ccache).
#pragma once

#include <string>

namespace ckpt::testing {

extern const char kSources[], kProgram[], kFaultShim[];

inline std::string Sources() { return kSources; }  // the checkout
inline std::string TestData() { return Sources() + "/testdata"; }
inline std::string Corpus() { return Sources() + "/../shared/corpus"; }
inline std::string Program() { return kProgram; }      // ckpt
inline std::string FaultShim() { return kFaultShim; }  // see tests/faults

}  // namespace ckpt::testing
