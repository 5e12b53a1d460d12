#include "audit/rule_rows.h"

#include <array>

namespace ckpt::audit {
namespace {

constexpr auto kInfo = Severity::kInfo;
constexpr auto kWarning = Severity::kWarning;
constexpr auto kError = Severity::kError;
constexpr auto kStops = InConversion::kStops;
constexpr auto kCloses = InConversion::kCloses;
constexpr auto kStaysBehind = InConversion::kStaysBehind;
constexpr auto kPasses = InConversion::kPasses;

constexpr std::array kRows = {
    // Which tensors a layer has.
    RuleRow{
        "BN001", "statistics-missing", kError, kStops,
        "a batch norm has neither moving mean nor moving variance",
        "The layer is a batch norm for sure (a config, a graph, its name or its sibling layers say "
        "so) and has gamma or beta, but no moving statistics: they were never saved. The usual "
        "cause is a TensorFlow Saver that was given only tf.trainable_variables(): no optimizer "
        "trains the moving statistics, so they are not among them.",
        "At serving a batch norm normalises with its moving statistics. Without them restoring "
        "fails, or the program runs on with freshly initialised ones (mean 0, variance 1) and "
        "predicts nonsense, or it normalises with the batch it was given, so that an answer "
        "depends on the requests beside it.",
        "save the moving statistics too; what was not saved must come from a fuller checkpoint of "
        "the same step, or be computed again: ckpt calibrate does that from training data, and "
        "training-mode forward passes without the optimizer do, {updates}",
        "save with tf.train.Saver(), which takes every variable, or add the statistics to "
        "var_list (tf.trainable_variables() leaves them out); for this run take them from a fuller "
        "checkpoint of the same step, or let ckpt calibrate compute them from training data; the "
        "update ops alone do it only {updates}",
        "save the whole model (model.save or model.save_weights), not its trainable_weights; for "
        "this run take the statistics from a fuller file of the same step, or let ckpt calibrate "
        "compute them from training data; calls with training=True and without the optimizer do it "
        "only {updates}",
        "save model.state_dict(), which has the buffers running_mean and running_var, not "
        "named_parameters(); for this run take them from a fuller file of the same step, or "
        "compute "
        "them from training data: ckpt calibrate, or reset_running_stats() with momentum None and "
        "one pass of the batch norms alone in train() mode; at the old momentum it takes passes "
        "{updates}"},
    RuleRow{
        "BN002", "statistics-incomplete", kWarning, kStops,
        "a batch norm has a moving mean and no moving variance, or the reverse",
        "One of the two moving statistics is in the file and the other is not: a var_list or a "
        "rename that caught only one of them, or a name that is not recognised.",
        "A batch norm cannot run on one of them. Whatever fills the gap (an initial 0 or 1) gives "
        "wrong outputs without an error.",
        "save both statistics; compare the names in the file with those that the program restores"},
    RuleRow{
        "BN003", "scale-without-statistics", kInfo, kPasses,
        "a gamma or beta has no statistics, and nothing says that it is a batch norm",
        "Layer, group and instance normalisation have a gamma and a beta and no moving statistics, "
        "so nothing is missing. If the layer is a batch norm under an unusual name, its statistics "
        "were not saved: see BN001.",
        "It does not, unless the layer is a batch norm.",
        "nothing for layer, group and instance normalisation; for a batch norm see BN001"},
    RuleRow{
        "BN004", "parameters-missing", kWarning, kPasses,
        "the model's config calls for a gamma or beta that the file lacks",
        "The config in the file says that the batch norm has a scale or an offset, and there is no "
        "such tensor: the weights do not belong to this config, or were saved in part.",
        "A loader that does not insist leaves gamma at 1 and beta at 0, and the outputs are wrong "
        "without an error.",
        "save config and weights from the same model, all of it"},

    // Whether the statistics were ever learnt.
    RuleRow{
        "BN010", "never-updated", kError, kStops,
        "moving statistics are exactly initial although the layer was trained",
        "Every channel has mean 0 and variance 1, as initialised, and the same file proves that "
        "the layer was trained: optimizer slots of its gamma or beta, a batch counter above 0, or "
        "an update counter at 0 beside a trained gamma. The update ops of the moving averages were "
        "never run.",
        "Training normalises with each batch, so its loss looks fine. Serving normalises with mean "
        "0 and variance 1 instead of the data's: every layer behind gets inputs it never saw.",
        "tie the updates of the moving averages to the training step; for this run compute the "
        "statistics again: ckpt calibrate does that from training data, and training-mode forward "
        "passes without the optimizer do, {updates}",
        "run the update ops with the train op: with tf.control_dependencies(tf.get_collection("
        "tf.GraphKeys.UPDATE_OPS)) around minimize(), or tf.group(train_op, *update_ops); for this "
        "run let ckpt calibrate compute the statistics from training data; the update ops alone do "
        "it only {updates}",
        "call the model or layer with training=True in a custom loop (model.fit does); in a "
        "tf.Session program run model.updates too; for this run let ckpt calibrate compute "
        "the statistics from training data; calls with training=True and without the optimizer do "
        "it only {updates}",
        "train in model.train() mode with momentum above 0 (an averaged or EMA copy needs its "
        "buffers copied, or torch.optim.swa_utils.update_bn); for this run compute the "
        "statistics from training data: ckpt calibrate, or reset_running_stats() with momentum "
        "None and one pass of the batch norms alone in train() mode; at the old momentum it takes "
        "passes {updates}"},
    RuleRow{
        "BN011", "looks-never-updated", kWarning, kPasses,
        "moving statistics are exactly initial, with no proof that the layer was trained",
        "Every channel has mean 0 and variance 1 (or every variance is 1 beside a mean that "
        "moved), as initialised, while gamma or beta moved away from 1 and 0. No optimizer slot or "
        "counter in the file proves it, and gamma and beta do not look as if the statistics had "
        "been absorbed into them (BN013), so most likely the updates never ran.",
        "Serving normalises with mean 0 and variance 1 instead of the data's: every layer behind "
        "gets inputs that it never saw in training.",
        "find out whether the updates of the moving averages ran (see BN010); if the model was "
        "trained to run on mean 0 and variance 1, switch this rule off for the file",
        "check that UPDATE_OPS run with the train op (see BN010); if serving is meant to normalise "
        "with its own batch, say so there: this file cannot serve a single request well",
        "check that the training loop calls the model with training=True (see BN010)",
        "check that training ran in train() mode and that an averaged copy got its buffers (see "
        "BN010)"},
    RuleRow{
        "BN012", "partly-updated", kWarning, kPasses,
        "the statistics of some layers were updated and of others never",
        "Some batch norms of the file have learnt statistics and others have exactly mean 0 and "
        "variance 1 although they were trained: the updates of only one tower, one of several "
        "optimizers' networks or one branch were run.",
        "The layers that were left out normalise with mean 0 and variance 1 at serving; the model "
        "may seem to work and be worse than in training.",
        "run the updates of every layer in every training step; for this run compute the missing "
        "ones again: ckpt calibrate does that from training data, and training-mode forward passes "
        "without the optimizer do, {updates}",
        "collect tf.GraphKeys.UPDATE_OPS after all towers and networks are built, and tie all of "
        "them to the train ops that train those layers; for this run let ckpt calibrate compute "
        "the missing ones from training data; the update ops alone do it only {updates}"},
    RuleRow{
        "BN013", "statistics-absorbed", kInfo, kPasses,
        "mean 0 and variance 1 everywhere, absorbed into gamma and beta on purpose",
        "All batch norms have exactly mean 0 and variance 1, and gamma and beta are spread as they "
        "are when the statistics were multiplied into them: by orders of magnitude between layers, "
        "with changes of sign, or widely within a layer. Detection backbones and some converters "
        "do so.",
        "Such a file serves as it is. It cannot be trained on with batch norm in training mode, "
        "and epsilon must be the one with which the statistics were absorbed (often 0).",
        "nothing for serving; keep these layers frozen in training"},
    RuleRow{
        "BN014", "layer-not-trained", kInfo, kPasses,
        "gamma, beta and the statistics are all at their initial values",
        "The whole layer is as initialised: the file is of step 0, or the layer was frozen from "
        "the start or is in a branch that was not trained.",
        "Nothing was lost. If the layer was meant to be trained, it was not.",
        "nothing, unless the layer was meant to be trained"},
    RuleRow{
        "BN015", "updated-too-little", kInfo, kPasses,
        "the initial value still weighs too much in the moving statistics",
        "A moving average that starts at 0 (mean) or 1 (variance) holds its initial value with the "
        "weight decay^n after n updates. n is the batch counter, the update counter or the step; "
        "decay is Keras' and TensorFlow's momentum and one minus PyTorch's. A weight above 1/100 "
        "is information, one above 1/2 a warning where the decay is recorded or given. Nothing is "
        "said where a variance is smaller than that weight: it proves more updates than the "
        "counter says; or of frozen layers, whose statistics the steps do not update.",
        "Serving normalises with a mixture of the data's statistics and 0 and 1. Accuracy rises "
        "with more steps or a smaller decay although the weights are good already.",
        "train longer or with a smaller decay, or compute the statistics again: ckpt calibrate "
        "does that from training data, and training-mode forward passes without the optimizer do, "
        "{updates}",
        "train longer or with a smaller decay (slim: batch_norm_decay 0.9 for short runs), or "
        "let ckpt calibrate compute the statistics from training data; the update ops alone do it "
        "only {updates}",
        "train longer or with a smaller momentum (0.9 for short runs), or let ckpt calibrate "
        "compute the statistics from training data; calls with training=True and without the "
        "optimizer do it only {updates}",
        "train longer or with a larger momentum, or compute the statistics from training data: "
        "ckpt calibrate, or reset_running_stats() with momentum None and one pass of the batch "
        "norms alone in train() mode; at the old momentum it takes passes {updates}"},

    RuleRow{
        "BN016", "statistics-calibrated", kInfo, kPasses,
        "the statistics were computed from data, by ckpt calibrate",
        "The metadata of the file, or the record beside it, names the statistics with their "
        "SHA-256, and they still have it. Nothing that the file says of updates (a step, a batch "
        "counter, an older checkpoint) is about them, so BN010, BN011, BN012, BN015 and BN050 are "
        "not judged. Where they were changed since, the mark does not count.",
        "It serves with the statistics of the data that it was calibrated with: the record beside "
        "it names them.",
        "nothing; before training on, see that the updates run this time (BN010)"},

    // What the numbers are worth.
    RuleRow{
        "BN020", "non-finite", kError, kStops, "NaN or infinity in a batch norm",
        "A gamma, beta, moving mean or moving variance has channels that are NaN or infinite. "
        "Usual causes: training diverged; one value per channel and batch, whose unbiased variance "
        "is divided by 0; float16, in which a variance above 65504 becomes infinite.",
        "A NaN channel spreads through the next layer to every output; an infinite variance "
        "silences its channel.",
        "go back to a checkpoint before the values went bad (audit the older ones), and train with "
        "more than one value per channel and batch, statistics in float32"},
    RuleRow{
        "BN021", "negative-variance", kError, kStops, "negative moving variance",
        "A variance cannot be negative. It gets so by a one-pass formula in float32, by momentum "
        "misuse, by an epsilon subtracted in a conversion, or by tensors that are shifted or "
        "swapped in the file. Where the network's epsilon is known and variance + epsilon is above "
        "0 in every channel it is a warning: the network computes something. A file that does not "
        "record epsilon cannot say so, and neither can one that a conversion writes without it: "
        "fold the layer, or write a format that holds the network.",
        "With variance + epsilon just above 0 the channel is multiplied by up to millions; with "
        "another framework's smaller epsilon it is NaN.",
        "find where the value comes from: compare with the checkpoint it was converted from, or "
        "compute the statistics again; do not clip it to 0 unseen"},
    RuleRow{"BN022", "variance-plus-epsilon", kError, kStops,
            "variance + epsilon is not above 0 in some channel",
            "The square root in y = gamma * (x - mean) / sqrt(variance + epsilon) + beta does not "
            "exist, or is 0, with the epsilon of this model.",
            "The channel is NaN or infinite for every input, and so is what follows.",
            "check that epsilon is the one of training; compute the statistics again"},
    RuleRow{
        "BN023", "dead-channels", kInfo, kPasses,
        "variance 0 or negligible: the channel was constant in training",
        "The moving variance is 0, denormal or below a millionth of epsilon, so the channel did "
        "not vary in training (a dead ReLU, a padded or unused filter). Some dead channels are "
        "common; most channels of a layer being dead is a warning: the layer carries hardly any "
        "signal, or its variance was initialised with 0 and never updated.",
        "The channel gives its beta as long as its input stays constant. An input that does vary "
        "is amplified by gamma / sqrt(epsilon), hundreds of times with an epsilon of 1e-5; "
        "hardware that flushes denormals to 0 may differ.",
        "nothing for a few channels; they can be pruned. For most of a layer look for a collapsed "
        "training (learning rate, shared layers, float16 that underflows)"},
    RuleRow{
        "BN024", "amplification", kWarning, kPasses,
        "rounding errors of the input are amplified beyond the precision of the type",
        "The normalised signal is a small difference of large numbers: (|mean| + |bias| + "
        "sqrt(variance)) / sqrt(variance + epsilon) is above 1e4 (float32), 30 (float16) or 4 "
        "(bfloat16) in some channel.",
        "Each rounding of the layer's input comes out that many times larger, so that results "
        "differ between devices and batch sizes.",
        "serve this layer in a wider type, or fold the batch norm into the layer before it (the "
        "mean is then subtracted before rounding)"},
    RuleRow{
        "BN025", "out-of-range", kWarning, kPasses,
        "values at the limits of the type that the file stores them in",
        "A statistic stands at the largest value of its type, or a variance is so small that its "
        "type keeps only a few of its bits (float16 below 6.1e-05), and rounding it changes the "
        "normalisation visibly. It is information where epsilon hides the difference.",
        "The statistics in the file are not those that training computed: channels are scaled "
        "wrongly without an error.",
        "store the statistics in float32, as training had them; kernels may stay in float16"},
    RuleRow{
        "BN030", "shape-mismatch", kError, kStops,
        "the tensors of one batch norm differ in their number of channels",
        "gamma, beta, moving mean and moving variance of one layer must have one value per channel "
        "each. Here their sizes differ: tensors of two models or layouts (NCHW, NHWC) were mixed, "
        "or a name is misleading.",
        "Restoring fails, or broadcasting hides the error and the outputs are wrong.",
        "restore from one checkpoint of one model; check the axis of the batch norm"},
    RuleRow{
        "BN031", "swapped-values", kWarning, kPasses,
        "gamma, beta, mean and variance look exchanged for one another",
        "A variance has many negative values while another vector of the layer is positive "
        "throughout, or in most layers gamma scatters around 0 while beta (or the mean) is "
        "positive throughout and near 1. Hand-written converters that read the four vectors in "
        "another order leave this.",
        "Each channel is scaled and shifted by the wrong numbers.",
        "check the order of the vectors in the converter: Keras has gamma, beta, mean, variance; "
        "PyTorch weight, bias, running_mean, running_var; Darknet beta, gamma, mean, variance"},
    RuleRow{
        "BN032", "towers-disagree", kWarning, kPasses,
        "copies of one layer hold different statistics",
        "The layers have the same gamma and beta under names that differ in a tower or a reuse "
        "suffix (tower_0/bn and tower_1/bn), and their moving statistics differ: each copy saw its "
        "own share of the data, or only one of them was updated.",
        "What is served depends on which copy the inference graph happens to read.",
        "share the statistics between towers, or update them from all towers (average, or "
        "synchronised batch norm); serve from the copy whose updates ran"},
    RuleRow{
        "BN033", "statistics-misfit", kWarning, kPasses,
        "stored means do not fit the network around them",
        "Found where all data are read, the kernels among them: where the network leads from one "
        "batch norm to the next, beta, gamma, the kernel and the bias say what means the next one "
        "reads. "
        "The stored means are no nearer to these than in random orders of the channels, while "
        "those "
        "of a network that was trained as a whole are nearer than in every order. Layers of fewer "
        "than 16 channels, or of means that are much alike, are not judged; statistics that "
        "stopped half way fit as well, so that silence proves nothing.",
        "The statistics are those of another layer or another checkpoint, or their channels are in "
        "another order: each channel is shifted and scaled by the wrong numbers.",
        "look at what renamed, converted or merged the file, and take the statistics from the "
        "checkpoint that the kernels are of; ckpt calibrate computes them again from data",
        "", "", "", Setting::kAllData},
    RuleRow{
        "BN034", "merged-statistics", kWarning, kPasses,
        "a merged checkpoint has the statistics of its parents, not of its own weights",
        "Found where the parents are given. The weights are a weighted average of the parents' "
        "(stochastic "
        "weight "
        "averaging, model soups, federated averaging, task arithmetic) or otherwise differ from "
        "theirs, and the moving statistics are the same average, or those of one parent bit for "
        "bit. Statistics that were computed anew are neither, and are not found.",
        "The mean and variance of activations are no linear function of the weights: averaged "
        "networks mostly have smaller variances than the average of variances, so that serving "
        "scales every channel too little.",
        "compute the statistics of all batch norms again from training data, or run one pass with "
        "them in training mode",
        "", "", "compute them again: torch.optim.swa_utils.update_bn(loader, model) before saving",
        Setting::kParents, Remedy::kCalibrateAll},

    // What the file does not say.
    RuleRow{
        "BN040", "epsilon-not-recorded", kInfo, kPasses, "the file does not record epsilon",
        "Checkpoints of weights do not hold epsilon; without a graph or a config it is assumed by "
        "the framework's default, or unknown.",
        "A wrong epsilon changes every channel with a small variance: 1e-3 (Keras, TensorFlow) and "
        "1e-5 (PyTorch, ONNX) differ by a factor of ten in the gain of a dead channel.",
        "give it, or a file with its config", "", "", "", Setting::kNone, Remedy::kRecordEpsilon},
    RuleRow{
        "BN041", "momentum-not-recorded", kInfo, kPasses, "the file does not record momentum",
        "Without the decay of the moving averages, or with a default in its place, it cannot be "
        "said for sure how much the initial values still weigh (BN015).",
        "It does not change serving.", "give it for a judgement", "", "", "", Setting::kNone,
        Remedy::kRecordMomentum},

    // Between two checkpoints of one run.
    RuleRow{
        "BN050", "unchanged-statistics", kWarning, kPasses,
        "the weights of a layer moved since the older checkpoint, its statistics did not",
        "Between the two checkpoints gamma, beta or the kernels were trained on, while the moving "
        "mean and variance are the same bit for bit: the updates did not run in between. Training "
        "with the statistics frozen on purpose looks the same and is sound.",
        "Serving normalises with statistics of other weights.",
        "if the layer trained in training mode, run the updates with the train op (BN010) and "
        "compute the statistics again"},
    RuleRow{
        "BN051", "frozen-drift", kWarning, kPasses,
        "a frozen layer's statistics moved since the older checkpoint",
        "Gamma, beta and the kernels beside the layer are the same bit for bit in both "
        "checkpoints, other weights were trained, and the moving statistics of the frozen layer "
        "went with the new data: its updates kept running.",
        "The frozen layers no longer compute what the layers behind them were tuned to in training "
        "or what the base model computed.",
        "run frozen batch norms in inference mode while fine-tuning; restore their statistics from "
        "the base checkpoint",
        "do not run the update ops of frozen layers: training=False for them, or filter UPDATE_OPS",
        "call frozen layers with training=False (trainable = False does it since TensorFlow 2)",
        "put frozen batch norms into eval() mode after every model.train()"},
    RuleRow{
        "BN052", "statistics-reset", kWarning, kPasses,
        "statistics that the older checkpoint had learnt are initial again",
        "The older checkpoint holds learnt statistics for the layer, this one mean 0 and variance "
        "1. tf.train.warm_start and WarmStartSettings take trainable variables only unless told "
        "otherwise; a Saver over trainable variables does the same at a restart.",
        "Until enough steps are trained, serving normalises with mean 0 and variance 1 instead of "
        "the data's.",
        "restore the moving statistics with the weights",
        "pass vars_to_warm_start=['.*'] (a list: all variables, not only the trainable ones), or "
        "restore with a Saver that has the moving statistics"},

    // What the operation graph proves.
    RuleRow{
        "GR001", "updates-outside-train-op", kError, kStaysBehind,
        "the graph does not run the updates of moving statistics with the train op",
        "An operation runs when something that depends on it is fetched. In the graph beside the "
        "checkpoint the train operation (collection train_op, else what ends in an optimizer's "
        "operations) depends neither by data nor by control edges on the operations that update "
        "the moving statistics. It is an error while the values are still initial or not there, "
        "and information where they moved (the program fetched the updates itself) or where an "
        "operation after the train operation runs both (tf.group). Where several towers, or "
        "several "
        "calls of a layer, update the same statistics and not all of them run, that is information "
        "too: the statistics are of the share of the data that the others see.",
        "Training normalises with each batch, so its loss looks fine; serving normalises with mean "
        "0 and variance 1.",
        "run the updates with every training step",
        "put tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)) around "
        "minimize(), not around the optimizer's constructor, or fetch "
        "tf.group(train_op, *update_ops)"},
    RuleRow{
        "GR002", "no-update-op", kError, kStaysBehind,
        "a batch norm trains, and no operation of the graph updates its statistics",
        "The graph trains through a batch norm in training mode and holds no operation that writes "
        "its moving statistics: a Keras layer in a tf.Session program, whose updates are not in "
        "UPDATE_OPS, or a layer that was built without them.",
        "Serving normalises with whatever the statistics were initialised to.",
        "build the updates and run them with every training step",
        "use tf.layers, or run layer.updates (model.updates) with the train operation"},
    RuleRow{
        "GR003", "saver-without-statistics", kError, kStaysBehind,
        "no saver of the graph saves all that serving reads",
        "The list of tensors of a saver (SaveV2, SaveSlices) lacks moving statistics, gamma or "
        "beta of a batch norm of the same graph, and so do all other savers of the file. It is "
        "information where the checkpoint has them all the same. Statistics that the checkpoint "
        "beside the graph lacks are told by BN001, with the saver as the proof.",
        "Restoring a checkpoint of that saver fails at serving, or runs on mean 0 and variance 1.",
        "save every variable that inference reads",
        "use tf.train.Saver() without var_list, or add the moving statistics to it: "
        "tf.trainable_variables() leaves them out"},
    RuleRow{
        "GR004", "restore-fails", kError, kStaysBehind,
        "the graph restores tensors that the checkpoint lacks",
        "A restore of the graph, or the path from a serving signature, names tensors that the "
        "checkpoint does not hold. It is information where serving does not read them (slots of "
        "an optimizer).",
        "Restoring fails with \"Key ... not found in checkpoint\", or the variables stay "
        "uninitialised.",
        "use graph and checkpoint of the same run, or restore only what is there"},
    RuleRow{
        "GR005", "always-trains", kInfo, kPasses,
        "a graph for training whose batch norms run in training mode whatever is fed",
        "The graph beside the checkpoint trains, and its batch norms have no inference mode: "
        "is_training is true or absent, or they normalise with moments, and no placeholder "
        "switches them. In a graph that is meant to serve this is BN060.",
        "Nothing is wrong with training. Served as it is, the graph would answer by the requests "
        "beside each other.",
        "build another graph for serving",
        "build the exported graph with training=False (is_training=False) and restore the moving "
        "statistics into it",
        "export with training=False (tf.keras.backend.set_learning_phase(0) in TensorFlow 1)"},
    RuleRow{
        "GR006", "open-phase", kError, kCloses,
        "a boolean placeholder on the serving path that nothing feeds, or that is true by default",
        "The path to the outputs of a SavedModel or a frozen graph depends on a boolean "
        "placeholder that no signature feeds, or on one with a default of true. In a graph for "
        "training, which switches between training and inference by it, it is information.",
        "A request fails, or runs in training mode.",
        "export a graph in which the phase is a constant false, or a placeholder with that default",
        "build the exported graph with training=False, or make the placeholder "
        "tf.placeholder_with_default(False, ())"},
    // What the graph of a serving artefact does.
    RuleRow{
        "BN060", "training-mode", kError, kCloses,
        "a batch norm runs in training mode in a serving artefact",
        "The graph in the file is what is served, and its batch norm is in training mode: "
        "training_mode is 1 (ONNX from opset 14), the node has the outputs of training (opset 7 to "
        "13), is_test is 0 (before); in a SavedModel or a frozen graph of TensorFlow, is_training "
        "is true or absent on the path to the outputs, or the batch norm normalises with moments, "
        "whatever is fed; in an ONNX graph, nodes compute the statistics from the very input that "
        "is normalised; in a model of Keras 1 or 2, a call with training=True (of the layer, or of "
        "a model that it stands in) or mode 2. In Keras 3 such a call is a warning: predict() "
        "overrides it.",
        "It normalises with the mean and variance of the batch that it is given and ignores the "
        "moving statistics: an answer depends on the requests beside it, and a batch of one gives "
        "nonsense.",
        "export the model in inference mode again",
        "build the inference graph with training=False (is_training=False), restore the checkpoint "
        "and export that graph",
        "leave training out of the call, or export with model.export(), which serves",
        "call model.eval() before torch.onnx.export, and do not pass "
        "training=TrainingMode.TRAINING"},
    RuleRow{
        "BN061", "statistics-fed", kInfo, kPasses,
        "the graph takes moving statistics from elsewhere than a stored constant",
        "The mean or the variance of the batch norm is an input of the model, is computed by other "
        "nodes, or is filled with one value: the file does not store it, so it cannot be judged "
        "or folded.",
        "Serving normalises with whatever is fed or computed. A constant fill (mean 0, variance 1) "
        "in place of learnt statistics gives wrong outputs without an error.",
        "if the statistics are meant to be fixed, export them as constants of the graph"},

    // Beside data.
    RuleRow{
        "BN070", "input-skew", kWarning, kPasses,
        "given data differ from those that the network was trained with",
        "Found where data are given: what the first batch norms read is far from their statistics, "
        "while "
        "those behind agree with theirs once the ones before use the statistics of the data. A "
        "batch norm takes away scale and shift, so that other input is seen by the first ones "
        "alone; a wrong record is seen in all layers (BN071). docs/auditing_with_data.md has the "
        "thresholds.",
        "Serving normalises with the statistics of training: every layer gets inputs that it never "
        "saw, and outputs are wrong without an error.",
        "compare the preprocessing with that of training: the range (0 to 255, 0 to 1, -1 to 1), "
        "mean and deviation taken off, the order of the channels, the resizing; if the data have "
        "truly changed, train on them, or let ckpt calibrate compute the statistics from them",
        "", "", "", Setting::kData},
    RuleRow{"BN071", "statistics-far-from-data", kWarning, kPasses,
            "stored statistics are far from those of given data",
            "Found where data are given: layers are far from their own statistics also where the "
            "layers before "
            "them use the statistics of the data. All over the network: the record is not of these "
            "weights, as after updates that stopped half way, or a decay too near to 1. In few "
            "layers: their record is another's, or the data hold what training never saw. "
            "docs/auditing_with_data.md has the thresholds.",
            "Serving normalises with numbers that are not those of what it serves; the error grows "
            "from layer to layer.",
            "make sure that the data are prepared as those of training; then compute the "
            "statistics of all batch norms again from data of training",
            "", "", "", Setting::kData, Remedy::kCalibrateAll},

    // The file as a whole.
    RuleRow{
        "CK001", "data-absent", kWarning, kStops, "a data file of the checkpoint is not there",
        "The index names a data file that is absent. Names and shapes could be judged, values not.",
        "The checkpoint cannot be restored without it.",
        "copy every file of the checkpoint (PREFIX.index and all PREFIX.data-*, or all shards), "
        "and "
        "fetch large files (git lfs pull)"},
    RuleRow{
        "CK002", "data-damaged", kError, kStops, "data could not be read, or fails its checksum",
        "The bytes of a tensor are truncated, fail the checksum stored with them, or the system "
        "did not give them. Everything else was still judged. If most checksums fail, index and "
        "data are likely of different steps or different copies.",
        "Restoring fails, or serves numbers that nobody trained.",
        "copy the checkpoint again from where it was written, index and data together, and compare "
        "sizes; if that is damaged too, use an older checkpoint"},
    RuleRow{
        "CK003", "non-finite-tensor", kError, kStops, "NaN or infinity in a weight",
        "A tensor other than a batch norm's has elements that are NaN or infinite (found when all "
        "data is read).",
        "A NaN spreads to every output that depends on it.",
        "go back to a checkpoint before the values went bad"},
    RuleRow{
        "CK004", "non-finite-elsewhere", kInfo, kPasses,
        "NaN or infinity where serving does not read it, or on purpose",
        "Training state (optimizer slots, shadows) with NaN or infinity is a warning: serving does "
        "not read it, but training was in trouble. A tensor of only 0 and minus infinity is an "
        "attention mask and is information.",
        "It does not, as long as serving does not read it.",
        "look at the training log; drop training state with ckpt convert"},
    RuleRow{
        "CK005", "optimizer-state", kInfo, kPasses, "the file holds optimizer state",
        "Slots of an optimizer (momentum, Adam's m and v) are in the file, as in every checkpoint "
        "that training can resume from.",
        "Serving does not read them; they make the file two or three times larger.",
        "for serving drop them: ckpt convert does unless it is told to keep training state"},
    RuleRow{
        "CK006", "ema-shadows", kInfo, kPasses,
        "shadows of an exponential moving average stand next to the raw weights",
        "The file holds both raw weights and their averages over time. Evaluation often uses the "
        "averages; a plain restore gives the raw weights.",
        "The served model is the one you evaluated only if both read the same set.",
        "decide which set is served",
        "restore with ema.variables_to_restore() to serve the averages", "", "", Setting::kNone,
        Remedy::kWriteAverages},
    RuleRow{
        "CK007", "values-not-judged", kInfo, kPasses, "some values could not be judged",
        "The message says which, and why. The file holds a graph and no values (a .meta, a "
        "config); "
        "a batch norm's tensor has a type that the audit does not compute with; or, beside an "
        "older checkpoint, that one has no tensor of the same name, type and shape (a new head, a "
        "layer "
        "that was renamed), or could not be read in full. It is a warning where the file holds a "
        "tensor in a form that is not read: sparse, one rank's part of a distributed tensor, one "
        "without data.",
        "Nothing is known to be wrong; it was not looked at. All else was judged.",
        "give what is missing: the checkpoint beside the graph, dense and whole tensors, an older "
        "checkpoint with the same layers"},
    RuleRow{
        "CK008", "runs-code-on-load", kError, kCloses,
        "the framework runs code out of the file when it loads it",
        "A pickle names functions that run what the file hands to them, or that give access to "
        "such "
        "ones: a shell, eval, files, the network, another pickle. They are looked for in every "
        "pickle that the file carries, in archives inside it too. Classes that are merely unknown "
        "(a project's own modules) are a note and no finding. Nothing of it was run here.",
        "Whoever loads the file runs what its author wrote, with all rights of the program that "
        "loads it.",
        "do not load the file; ask where it is from, and convert it: OUTPUT of ckpt convert holds "
        "tensors alone",
        "", "",
        "load files of others with torch.load(..., weights_only=True) only; convert this one "
        "with ckpt convert, whose OUTPUT holds tensors alone"},
};

}  // namespace

std::span<const RuleRow> RuleRows() noexcept { return kRows; }

}  // namespace ckpt::audit
