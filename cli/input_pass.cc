#include "cli/input_pass.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>

#include "ckpt/weight_norm.h"
#include "cli/calibration_record.h"
#include "cli/folder_inputs.h"
#include "cli/graph_evidence.h"
#include "formats/remote/address.h"

namespace ckpt::cli {

std::vector<std::string> NotesOf(const Checkpoint& checkpoint) {
  std::vector<std::string> notes;
  for (const std::string& note : {checkpoint.input_name().note, checkpoint.manifest().note}) {
    if (!note.empty()) notes.push_back(note);
  }
  return notes;
}

InputReport ReportOf(const std::string& path, const Result<OpenedInput>& opened) {
  InputReport report{path};
  if (!opened) {
    report.error = opened.error();
    return report;
  }
  report.manifest = &opened->checkpoint->manifest();
  report.analysis = &opened->analysis;
  report.format = opened->checkpoint->format();
  report.notes = NotesOf(*opened->checkpoint);
  return report;
}

Result<std::unique_ptr<Checkpoint>> OpenNamed(const std::string& path,
                                              const CommonOptions& options) {
  std::string one = path;
  if (options.from.empty()) {
    const bool takes_many =
        options.command == CommandId::kInspect || options.command == CommandId::kAudit;
    CKPT_ASSIGN_OR_RETURN(one, OneCheckpointOf(path, takes_many));
  }
  auto opened = formats::OpenCheckpoint(*options.read, one, OpenOptionsOf(options));
  if (!opened || one == path) return opened;
  InputName name = (*opened)->input_name();
  name.path = path;
  if (name.note.empty()) name.note = "the only checkpoint in the folder is " + one;
  (*opened)->set_input_name(std::move(name));
  return opened;
}

namespace {

// A reader says what it will read when a tensor is opened; who reads it hears of what fails.
void Announce(const Checkpoint& checkpoint, TensorId id) {
  if (checkpoint.manifest().tensors[id.index].data_present) static_cast<void>(checkpoint.Open(id));
}

void AnnounceBatchNorms(const Checkpoint& checkpoint, const Analysis& analysis) {
  if (!formats::IsRemoteName(checkpoint.manifest().resolved)) return;
  for (const BatchNorm& norm : analysis.batch_norms) {
    for (const auto& part :
         {norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance, norm.batch_counter}) {
      if (part) Announce(checkpoint, *part);
    }
  }
}

}  // namespace

void AnnounceTensors(const Checkpoint& checkpoint) {
  if (!formats::IsRemoteName(checkpoint.manifest().resolved)) return;
  for (std::uint32_t i = 0; i < checkpoint.manifest().tensors.size(); ++i)
    Announce(checkpoint, TensorId{i});
}

Result<OpenedInput> OpenInput(const std::string& path, const CommonOptions& options,
                              const AnalysisOptions& analysis, const std::string& graph,
                              bool compute_weights) {
  OpenedInput opened;
  CKPT_ASSIGN_OR_RETURN(opened.checkpoint, OpenNamed(path, options));
  opened.checkpoint = WithRecordedMark(std::move(opened.checkpoint));
  if (compute_weights) {
    opened.checkpoint = WithWeightNormsComputed(std::move(opened.checkpoint));
  }
  if (!graph.empty()) {
    CKPT_ASSIGN_OR_RETURN(opened.checkpoint,
                          WithGraphOf(std::move(opened.checkpoint), graph, *options.read));
  }
  opened.analysis = Analyse(opened.checkpoint->manifest(), analysis);
  AnnounceBatchNorms(*opened.checkpoint, opened.analysis);
  return opened;
}

Error NotEnoughMemory(const std::string& path) {
  return Error{ErrorCode::kLimitExceeded, "there is not enough memory for it"}.In(path);
}

Result<std::unique_ptr<Checkpoint>> OpenBeside(const std::string& path,
                                               const CommonOptions& options) {
  CKPT_ASSIGN_OR_RETURN(auto checkpoint, OpenNamed(path, options));
  AnnounceBatchNorms(*checkpoint, Analyse(checkpoint->manifest()));
  return checkpoint;
}

namespace {

// What the threads of one pass share.
class Pass {
 public:
  Pass(std::size_t count, const std::function<void(std::size_t)>& work)
      : work_(work), done_(count) {}

  // Works until nothing is left, or until one failed.
  void Run() noexcept {
    std::unique_lock lock(mutex_);
    while (!stop_ && next_ < done_.size()) {
      const std::size_t mine = next_++;
      lock.unlock();
      std::exception_ptr thrown;
      try {
        work_(mine);
      } catch (...) {
        thrown = std::current_exception();
      }
      lock.lock();
      done_[mine] = true;
      if (thrown) {
        stop_ = true;
        thrown_ = std::move(thrown);
      }
      changed_.notify_all();
    }
  }
  void Stop() noexcept {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  // Until the i-th is done; throws what the work on any of them threw.
  void WaitFor(std::size_t i) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return done_[i] || thrown_; });
    if (thrown_) std::rethrow_exception(thrown_);
  }

 private:
  const std::function<void(std::size_t)>& work_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<bool> done_;
  std::size_t next_ = 0;
  bool stop_ = false;
  std::exception_ptr thrown_;
};

// Ends the threads early, whatever the reason, before they are waited for.
class Threads {
 public:
  Threads(Pass& pass, std::size_t count) : pass_(pass) {
    try {
      while (threads_.size() < count) threads_.emplace_back([this] { pass_.Run(); });
    } catch (const std::system_error&) {
      // As many as there are; without any, the work is done here.
      if (threads_.empty()) pass_.Run();
    } catch (...) {
      pass_.Stop();
      throw;
    }
  }
  ~Threads() { pass_.Stop(); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  Pass& pass_;
  std::vector<std::jthread> threads_;
};

}  // namespace

Status ForEachInput(std::size_t count, unsigned jobs, const std::function<void(std::size_t)>& work,
                    const std::function<Status(std::size_t)>& emit) {
  if (jobs <= 1 || count <= 1) {
    for (std::size_t i = 0; i < count; ++i) {
      work(i);
      CKPT_RETURN_IF_ERROR(emit(i));
    }
    return {};
  }
  Pass pass(count, work);
  const Threads threads(pass, std::min<std::size_t>(jobs, count));
  for (std::size_t i = 0; i < count; ++i) {
    pass.WaitFor(i);
    CKPT_RETURN_IF_ERROR(emit(i));
  }
  return {};
}

}  // namespace ckpt::cli
