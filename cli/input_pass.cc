#include "cli/input_pass.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#include "ckpt/weight_norm.h"
#include "cli/calibration_record.h"
#include "cli/graph_evidence.h"

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

Result<OpenedInput> OpenInput(const std::string& path, const CommonOptions& options,
                              const AnalysisOptions& analysis, const std::string& graph,
                              bool compute_weights) {
  OpenedInput opened;
  CKPT_ASSIGN_OR_RETURN(opened.checkpoint,
                        formats::OpenCheckpoint(*options.read, path, OpenOptionsOf(options)));
  opened.checkpoint = WithRecordedMark(std::move(opened.checkpoint));
  if (compute_weights) {
    opened.checkpoint = WithWeightNormsComputed(std::move(opened.checkpoint));
  }
  if (!graph.empty()) {
    CKPT_ASSIGN_OR_RETURN(opened.checkpoint,
                          WithGraphOf(std::move(opened.checkpoint), graph, *options.read));
  }
  opened.analysis = Analyse(opened.checkpoint->manifest(), analysis);
  return opened;
}

Status ForEachInput(std::size_t count, unsigned jobs, const std::function<void(std::size_t)>& work,
                    const std::function<Status(std::size_t)>& emit) {
  if (jobs <= 1 || count <= 1) {
    for (std::size_t i = 0; i < count; ++i) {
      work(i);
      CKPT_RETURN_IF_ERROR(emit(i));
    }
    return {};
  }
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<bool> done(count);
  std::size_t next = 0;
  bool stop = false;
  const auto run = [&] {
    while (true) {
      std::unique_lock lock(mutex);
      if (stop || next == count) return;
      const std::size_t mine = next++;
      lock.unlock();
      work(mine);
      lock.lock();
      done[mine] = true;
      changed.notify_all();
    }
  };
  std::vector<std::jthread> threads;
  try {
    while (threads.size() < std::min<std::size_t>(jobs, count)) threads.emplace_back(run);
  } catch (const std::system_error&) {
    // As many as there are; without any, the work is done here.
    if (threads.empty()) run();
  }
  for (std::size_t i = 0; i < count; ++i) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return done[i]; });
    lock.unlock();
    if (Status status = emit(i); !status) {
      lock.lock();
      stop = true;
      return status;
    }
  }
  return {};
}

}  // namespace ckpt::cli
