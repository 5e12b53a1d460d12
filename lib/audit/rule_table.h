// The rules' ids for the code that finds, and what to advise by framework.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "ckpt/audit.h"

namespace ckpt::audit {

// Index into Rules(): the order of the table.
enum class RuleIndex : std::uint8_t {
  kStatisticsMissing,
  kStatisticsIncomplete,
  kScaleWithoutStatistics,
  kParametersMissing,
  kNeverUpdated,
  kLooksNeverUpdated,
  kPartlyUpdated,
  kStatisticsAbsorbed,
  kLayerNotTrained,
  kUpdatedTooLittle,
  kCalibrated,
  kNonFinite,
  kNegativeVariance,
  kVariancePlusEpsilon,
  kDeadChannels,
  kAmplification,
  kOutOfRange,
  kShapeMismatch,
  kSwappedValues,
  kTowersDisagree,
  kStatisticsMisfit,
  kMergedStatistics,
  kEpsilonNotRecorded,
  kMomentumNotRecorded,
  kUnchangedStatistics,
  kFrozenDrift,
  kStatisticsReset,
  kUpdatesOutsideTrainOp,
  kNoUpdateOp,
  kSaverWithoutStatistics,
  kRestoreFails,
  kAlwaysTrains,
  kOpenPhase,
  kTrainingMode,
  kStatisticsFed,
  kInputSkew,
  kFarFromData,
  kDataAbsent,
  kDataDamaged,
  kNonFiniteTensor,
  kNonFiniteElsewhere,
  kOptimizerState,
  kEmaShadows,
  kNotJudged,
  kRunsCode,
};

const Rule& RuleOf(RuleIndex index);
// What to do, in the words of the framework where it is known. `decay` is the weight of the old
// value in an update of the layers' statistics, where it is known: how many updates it takes.
std::string FixOf(RuleIndex index, std::optional<Framework> framework,
                  std::optional<double> decay = {});

}  // namespace ckpt::audit
