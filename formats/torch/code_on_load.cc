#include "formats/torch/code_on_load.h"

#include <algorithm>
#include <iterator>
#include <unordered_set>

namespace ckpt::formats {
namespace {

// Modules with nothing in them that a checkpoint needs.
constexpr std::string_view kModules[] = {"os",         "posix",
                                         "nt",         "sys",
                                         "subprocess", "pty",
                                         "commands",   "popen2",
                                         "shutil",     "runpy",
                                         "importlib",  "imp",
                                         "_imp",       "pkgutil",
                                         "zipimport",  "code",
                                         "codeop",     "pdb",
                                         "bdb",        "cProfile",
                                         "profile",    "timeit",
                                         "trace",      "doctest",
                                         "ctypes",     "_ctypes",
                                         "cffi",       "socket",
                                         "_socket",    "socketserver",
                                         "asyncio",    "_thread",
                                         "ftplib",     "smtplib",
                                         "telnetlib",  "poplib",
                                         "imaplib",    "webbrowser",
                                         "pip",        "ensurepip",
                                         "venv",       "setuptools",
                                         "pickle",     "_pickle",
                                         "cPickle",    "marshal",
                                         "shelve",     "tempfile",
                                         "fileinput",  "linecache",
                                         "requests",   "aiohttp",
                                         "httpx",      "urllib2",
                                         "httplib",    "idlelib",
                                         "lib2to3",    "_posixsubprocess"};
// Of these, packages: what lies below them counts too. Below the others lie other people's modules.
constexpr std::string_view kPackages[] = {"importlib",
                                          "ctypes",
                                          "asyncio",
                                          "pip",
                                          "ensurepip",
                                          "venv",
                                          "idlelib",
                                          "lib2to3",
                                          "cffi",
                                          "xmlrpc",
                                          "urllib.request",
                                          "http.client",
                                          "http.server",
                                          "distutils.spawn",
                                          "multiprocessing.process",
                                          "multiprocessing.util",
                                          "requests.api",
                                          "concurrent.futures"};
// Plain records in them.
constexpr std::string_view kRecords[] = {"stat_result", "terminal_size", "PathLike"};

struct Function {
  std::string_view module, name;
};
constexpr Function kFunctions[] = {
    {"builtins", "eval"},
    {"builtins", "exec"},
    {"builtins", "compile"},
    {"builtins", "open"},
    {"builtins", "__import__"},
    {"builtins", "setattr"},
    {"builtins", "delattr"},
    {"builtins", "globals"},
    {"builtins", "locals"},
    {"builtins", "vars"},
    {"builtins", "breakpoint"},
    {"builtins", "input"},
    {"builtins", "help"},
    {"builtins", "apply"},
    {"builtins", "execfile"},
    {"builtins", "file"},
    {"builtins", "reload"},
    {"io", "open"},
    {"io", "open_code"},
    {"io", "FileIO"},
    {"codecs", "open"},
    {"operator", "attrgetter"},
    {"operator", "methodcaller"},
    {"types", "FunctionType"},
    {"types", "LambdaType"},
    {"types", "CodeType"},
    {"functools", "reduce"},
    {"dill", "loads"},
    {"dill", "load"},
    {"dill._dill", "loads"},
    {"dill._dill", "_eval_repr"},
    {"dill._dill", "_import_module"},
    {"dill._dill", "_create_code"},
    {"dill._dill", "_create_function"},
    {"cloudpickle", "loads"},
    {"cloudpickle.cloudpickle", "subimport"},
    {"cloudpickle.cloudpickle", "_make_function"},
    {"cloudpickle.cloudpickle", "_builtin_type"},
    {"torch", "load"},
    {"torch.serialization", "load"},
    {"torch.hub", "load"},
    {"torch.hub", "load_state_dict_from_url"},
    {"torch.jit", "load"},
    {"torch.utils.cpp_extension", "load"},
    {"torch.utils.cpp_extension", "load_inline"},
    {"torch.utils.collect_env", "run"},
    {"torch.jit.unsupported_tensor_ops", "execWrapper"},
    {"torch.ops", "load_library"},
    {"torch.distributed.rpc", "rpc_sync"},
    {"torch._inductor.codecache", "compile_file"},
    {"numpy", "load"},
    {"numpy.testing._private.utils", "runstring"},
    {"numpy.testing", "runstring"},
    {"numpy.f2py", "compile"},
    {"pandas", "read_pickle"},
    {"pandas", "eval"},
    {"joblib", "load"},
    {"joblib.numpy_pickle", "load"},
};

// Python 2 and C modules spell the same ones otherwise.
std::string_view Canonical(std::string_view module) {
  if (module == "__builtin__" || module == "__builtins__") return "builtins";
  if (module == "_io") return "io";
  if (module == "_operator") return "operator";
  if (module == "_functools") return "functools";
  if (module == "_codecs") return "codecs";
  return module;
}

bool IsModule(std::string_view path) {
  if (OneOf(kModules, path)) return true;
  for (std::size_t end = path.size(); end != std::string_view::npos && end > 0;
       end = path.rfind('.', end - 1)) {
    if (OneOf(kPackages, path.substr(0, end))) return true;
  }
  return false;
}

bool IsFunction(std::string_view module, std::string_view name) {
  return std::any_of(std::begin(kFunctions), std::end(kFunctions), [&](const Function& function) {
    return function.module == module && function.name == name;
  });
}

bool IsGetattr(std::string_view module, std::string_view name) {
  return Canonical(module) == "builtins" && name == "getattr";
}

// getattr(Colour, 'RED'), getattr(<an object of a class>, 'forward'): what Python's own pickles do.
bool IsPlainGetattr(const PickleGraph& graph, const PickleObject& call) {
  const auto arguments = graph.TupleItems(call.arguments);
  if (arguments.size() != 2 || graph.kind(arguments[1]) != PickleKind::kText) return false;
  const std::string_view attribute = graph.text(arguments[1]);
  if (attribute.starts_with("__") || IsModule(attribute)) return false;
  if (graph.kind(arguments[0]) == PickleKind::kGlobal) {
    return !RunsCode(graph.global_module(arguments[0]), graph.global_name(arguments[0]));
  }
  if (graph.kind(arguments[0]) != PickleKind::kObject) return false;
  const PickleId maker = graph.object(arguments[0]).callable;
  return graph.kind(maker) == PickleKind::kGlobal &&
         !IsGetattr(graph.global_module(maker), graph.global_name(maker));
}

// Is every use of this getattr in the graph one that pickles of sound programs have?
bool OnlyPlainGetattr(const PickleGraph& graph) {
  for (PickleId id = 0; id < graph.size(); ++id) {
    if (graph.kind(id) != PickleKind::kObject) continue;
    const PickleObject& call = graph.object(id);
    const bool of_getattr =
        graph.kind(call.callable) == PickleKind::kGlobal &&
        IsGetattr(graph.global_module(call.callable), graph.global_name(call.callable));
    if (of_getattr && !IsPlainGetattr(graph, call)) return false;
  }
  return true;
}

}  // namespace

bool RunsCode(std::string_view module, std::string_view name) {
  module = Canonical(module);
  if (IsModule(module)) return !OneOf(kRecords, name);
  // "torch.serialization" and "os.system": protocol 4 follows dots in the name, into whatever the
  // module has imported.
  while (true) {
    if (IsFunction(module, name)) return true;
    const std::size_t dot = name.find('.');
    const std::string_view word = name.substr(0, dot);
    const bool last = dot == std::string_view::npos;
    if ((!last && IsModule(word)) || word == "__globals__" || word == "__builtins__") return true;
    if (last) return false;
    name.remove_prefix(dot + 1);
    module = Canonical(word);
  }
}

std::vector<std::string> CodeOnLoad(const PickleGraph& graph) {
  std::vector<std::string> names;
  std::unordered_set<std::string_view> seen;
  for (PickleId id = 0; id < graph.size(); ++id) {
    if (graph.kind(id) != PickleKind::kGlobal || !seen.insert(graph.text(id)).second) continue;
    const std::string_view module = graph.global_module(id), name = graph.global_name(id);
    const bool runs = IsGetattr(module, name) ? !OnlyPlainGetattr(graph) : RunsCode(module, name);
    if (runs) names.emplace_back(graph.text(id));
  }
  return names;
}

}  // namespace ckpt::formats
