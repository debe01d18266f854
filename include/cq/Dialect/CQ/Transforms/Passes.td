//===- Passes.td - From weights to planes -----------------*- tablegen -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Facts, decision and application are three things: annotate never decides, solve
// never rewrites, apply never measures.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_DIALECT_CQ_TRANSFORMS_PASSES_TD
#define CQ_DIALECT_CQ_TRANSFORMS_PASSES_TD

include "mlir/Pass/PassBase.td"

class CQ_ModulePass<string name> : Pass<name, "::mlir::ModuleOp"> {
  let dependentDialects = ["::mlir::cq::CQDialect", "::mlir::linalg::LinalgDialect"];
}

def CQPrintWeights : CQ_ModulePass<"cq-print-weights"> {
  let summary = "Print every weight that tracing finds";
  let description = [{
    One line a weight: name, shape, element type, where it is, who reads it, and
    why it cannot be quantized where that is so. The module is not changed.
  }];
}

def CQAnnotateWeights : CQ_ModulePass<"cq-annotate-weights"> {
  let summary = "Write the facts of every weight beside its source";
  let description = [{
    Adds the attribute `cq.weight` (name, shape, element type, whether it feeds a
    gather or is the head) to every `arith.constant` and `ml_program.global` that
    is a weight. Nothing is decided here.
  }];
  let statistics = [
    Statistic<"numWeights", "num-weights", "Weights found">,
    Statistic<"numObstacles", "num-obstacles", "Weights that cannot be quantized">];
}

def CQAnnotateImpact : CQ_ModulePass<"cq-annotate-impact"> {
  let summary = "Write what calibration measured beside every weight";
  let description = [{
    Adds `cq.impact` to every `arith.constant` and `ml_program.global` that is a
    weight: which statistics there are (moments, Gram matrix, Fisher and its
    kind), on how many tokens, and for each criterion with numbers (impact,
    magnitude, activation) mean, maximum and heterogeneity score (mean of the top
    1 % over the maximum of the rest). Nothing is decided here. A weight whose
    values are not those that were measured is an error.
  }];
  let options = [
    Option<"stats", "stats", "std::string", "\"\"", "Statistics file of `cq calibrate`">,
    Option<"parameters", "parameters", "std::string", "\"\"", "Archive of weights by reference (default: the module's)">];
  let statistics = [
    Statistic<"numAnnotated", "num-annotated", "Weights with statistics">,
    Statistic<"numUnmeasured", "num-unmeasured", "Weights the file does not know">];
}

def CQAnnotateLayers : CQ_ModulePass<"cq-annotate-layers"> {
  let summary = "Write the scores of every layer beside its weight";
  let description = [{
    Adds `cq.layer` to every `arith.constant` and `ml_program.global` that is a
    weight: of its transformer block `lim_token`, `lim_flat`, `zd` and
    `zd_two_sided` (statistics), and `losses`, by kind and by choice, of every
    measurement file that is given: `output` (measured output error), `fisher`,
    `divergence` (of the predictions when this weight alone is stored so), `block`,
    `predictions`. Facts, all of them: nothing is decided here.
  }];
  let options = [
    Option<"stats", "stats", "std::string", "\"\"", "Statistics file of `cq calibrate`">,
    ListOption<"losses", "losses", "std::string", "Measurement files, one of each kind of loss">];
  let statistics = [Statistic<"numAnnotated", "num-annotated", "Weights with scores">];
}

def CQExtractCherries : CQ_ModulePass<"cq-extract-cherries"> {
  let summary = "Replace weights by what cherries and quantization leave of them";
  let description = [{
    For developing passes: behind each weight that feeds products only stand
    extract_cherries, quantize and pack, then unpack, dequantize and
    scatter_cherries, and whoever read the weight reads what comes out. The
    module computes on as before, with decoded numbers, and
    `cq-materialize-parameters` evaluates the chains. `cq-apply-plan` is what
    models are quantized with.
  }];
  let options = [
    Option<"criterion", "criterion", "std::string", "\"magnitude\"", "impact, magnitude, activation or quant-error">,
    Option<"form", "form", "std::string", "\"slot\"", "element, column or slot">,
    Option<"ratio", "ratio", "double", "1.0 / 256", "Share of the weights that are cherries">,
    Option<"scheme", "scheme", "std::string", "\"b3-g128-symmetric-f16\"", "Scheme of the rest">,
    Option<"quantizer", "quantizer", "std::string", "\"rtn\"", "rtn, mse or gptq">,
    Option<"stats", "stats", "std::string", "\"\"", "Statistics file: checked for what criterion and quantizer need">];
  let statistics = [
    Statistic<"numExtracted", "num-extracted", "Weights with cherries taken out">];
}

def CQSolveUniform : CQ_ModulePass<"cq-solve-uniform"> {
  let summary = "Decide: every weight the same scheme";
  let description = [{
    Writes a plan into the module attribute `cq.plan`. A weight that also feeds a
    gather, or is the output head, gets `outer` instead, unless overridden; a
    remark says so.
  }];
  let options = [
    Option<"bits", "bits", "unsigned", "3", "Bits of a code: 2, 3, 4, 5, 6 or 8">,
    Option<"groupSize", "group-size", "std::string", "\"128\"", "Columns that share a scale: 32, 64, 128 or row (0)">,
    Option<"grid", "grid", "std::string", "\"symmetric\"", "symmetric, affine or half-step">,
    Option<"scaleType", "scale", "std::string", "\"f16\"", "Type of scales: f16, bf16 or f32">,
    Option<"quantizer", "quantizer", "std::string", "\"\"", "rtn (min-max), mse (scale search) or gptq (error feedback); default: rtn, and with stats the best that they allow">,
    Option<"cherries", "cherries", "std::string", "\"\"", "What makes a weight a cherry: none, magnitude, quant-error, activation or impact (default: up to 4 bits magnitude, or quant-error with gptq; none above)">,
    Option<"cherryForm", "cherry-form", "std::string", "\"\"", "How cherries are stored: none, element, column or slot">,
    Option<"cherryRatio", "cherry-ratio", "double", "1.0 / 256", "Share of the weights that are cherries">,
    Option<"rows", "rows", "std::string", "\"\"", "SHARE:BITS, e.g. 1/8:4: that share of each weight's rows, those of the largest impact, gets more bits (whole panels of 16 rows)">,
    Option<"outer", "outer", "std::string", "\"b8-g64-symmetric-f16\"", "Scheme of embeddings and the head">,
    Option<"stats", "stats", "std::string", "\"\"", "Statistics file of `cq calibrate`, which decides what the choice may be">,
    ListOption<"keep", "keep", "std::string", "Regular expressions of weights to leave as they are">,
    ListOption<"overrides", "override", "std::string", "REGEX:SCHEME, e.g. attn_v:b4-g64; the first match counts">];
  let statistics = [
    Statistic<"numPlanned", "num-planned", "Weights in the plan">,
    Statistic<"numKept", "num-kept", "Weights the plan keeps">];
}

def CQMeasureLosses : CQ_ModulePass<"cq-measure-losses"> {
  let summary = "Measure what each way to store each weight costs";
  let description = [{
    For every weight and choice the loss, tensor by tensor, into a measurement
    file; what the file already has of the same numbers is not measured again, and
    an interrupted run goes on. Losses: `weight` (relative squared error),
    `output` (of the layer's output, needs moments), `fisher` (weighted by the
    squared gradients of its outputs, needs Fisher sums too). The module is not
    changed. A choice is SCHEME[+rows=SHARE:bBITS][/QUANTIZER]
    [/FORM COUNT-CRITERION], e.g. b3-g128+rows=1/8:b4/gptq/slot1-impact.
  }];
  let options = [
    Option<"losses", "losses", "std::string", "\"\"", "Measurement file to write or to go on with">,
    ListOption<"choices", "choices", "std::string", "Ways to store a weight (default: 2 to 8 bits, with the best quantizer and cherries that the statistics allow)">,
    ListOption<"rowRatios", "row-ratios", "std::string", "Shares of rows to store wider, SHARE[:BITS], e.g. 1/8,1/4:8: each makes one more way of a choice of up to 4 bits (default: 1/2 where no choices are named; none: none)">,
    Option<"loss", "loss", "std::string", "\"auto\"", "weight, output, fisher or auto (the last one that the statistics allow; fisher needs Gram matrices)">,
    Option<"statistics", "statistics", "std::string", "\"\"", "Statistics file of `cq calibrate`">,
    Option<"parameters", "parameters", "std::string", "\"\"", "Archive of weights by reference (default: the module's)">,
    Option<"outer", "outer", "std::string", "\"no\"", "Embeddings and the head too: no, solve, or auto (where the statistics say as much of them as of the others)">,
    Option<"progress", "progress", "bool", "false", "Show a line of progress a tensor on stderr">];
  let statistics = [
    Statistic<"numMeasured", "num-measured", "Losses measured">,
    Statistic<"numKnown", "num-known", "Losses that the file had">];
}

def CQSolveRatios : CQ_ModulePass<"cq-solve-ratios"> {
  let summary = "Decide: which bits for which weight, within a budget";
  let description = [{
    Reads measured losses and writes the plan of least total loss into the module
    attribute `cq.plan`, with a record of candidates, costs and reasons. `exact`
    proves it. Weights that enter one argument of a shared function share a
    choice; with tie=fused those that multiply one input (q, k, v; gate, up) too.
    Every decision is a remark of category "cq-solve-ratios" (`--remarks-filter`).
  }];
  let options = [
    Option<"losses", "losses", "std::string", "\"\"", "Measurement file">,
    Option<"bpw", "bpw", "double", "0", "Budget: bits per weight of what is decided (codes, scales, cherries, padding)">,
    Option<"size", "size", "std::string", "\"\"", "Budget: bytes of the whole archive, e.g. 60MB">,
    ListOption<"choices", "choices", "std::string", "Ways to store a weight (default: all that the file has for all weights)">,
    ListOption<"rowRatios", "row-ratios", "std::string", "Shares of rows to store wider, beside the choices named (default: all that the file has)">,
    Option<"method", "method", "std::string", "\"exact\"", "exact, bound, greedy, uniform, lim, zd, index, reverse or random">,
    Option<"seed", "seed", "uint64_t", "0", "For method=random">,
    Option<"low", "low", "std::string", "\"\"", "The choice of less important blocks (lim, zd, index, reverse, random)">,
    Option<"high", "high", "std::string", "\"\"", "The choice of more important blocks">,
    Option<"tie", "tie", "std::string", "\"none\"", "fused: weights that multiply one input share a choice">,
    Option<"outer", "outer", "std::string", "\"auto\"", "Embeddings and the head: a choice, `solve`, or auto: solve for a size where the file has their losses, else b8-g64">,
    Option<"statistics", "statistics", "std::string", "\"\"", "Statistics file, for method=lim">,
    Option<"interactions", "interactions", "bool", "true", "Use the interactions in the file">,
    Option<"curve", "curve", "unsigned", "25", "Points of the plan's curve: least predicted loss over bits per weight">,
    ListOption<"keep", "keep", "std::string", "Regular expressions of weights to leave as they are">,
    ListOption<"overrides", "override", "std::string", "REGEX:CHOICE; the first match counts">,
    ListOption<"floors", "floor", "std::string", "REGEX:BITS, at least">,
    ListOption<"ceilings", "ceiling", "std::string", "REGEX:BITS, at most">];
  let statistics = [
    Statistic<"numDecided", "num-decided", "Weights that were decided">];
}

def CQLoadPlan : CQ_ModulePass<"cq-load-plan"> {
  let summary = "Take the decision from a plan file";
  let options = [Option<"plan", "plan", "std::string", "\"\"", "JSON file to read">];
}

def CQVerifyPlan : CQ_ModulePass<"cq-verify-plan"> {
  let summary = "Check a plan against the weights, count its bytes, write it";
  let description = [{
    Every weight has exactly one entry of its shape, every entry is possible,
    weights that enter one argument of a shared function agree. Bytes are counted
    by formulas of their own and compared with the codec's.
  }];
  let options = [Option<"planOut", "plan-out", "std::string", "\"\"", "JSON file to write (temporary name, then rename)">];
  let statistics = [Statistic<"planBytes", "plan-bytes", "Bytes of all planes of the plan">];
}

def CQApplyPlan : CQ_ModulePass<"cq-apply-plan"> {
  let summary = "Rewrite weights and their products as the plan says";
  let description = [{
    Each planned weight becomes planes: cherries are extracted first (they take no
    part in the ranges of groups), the rest quantized, then packed as `panel16`. Each
    product becomes `cq.matmul`, each gather `cq.gather`, activations being
    reshaped and transposed as needed; arguments of private functions that carry a
    weight become arguments that carry its planes. What cannot be rewritten is left
    with a remark.
  }];
  let options = [Option<"activations", "activations", "std::string", "\"f32\"", "How products read activations: f32 or int8">];
  let statistics = [
    Statistic<"numProducts", "num-products", "Products rewritten">,
    Statistic<"numGathers", "num-gathers", "Gathers rewritten">,
    Statistic<"numLeft", "num-left", "Products and gathers left as they were">];
}

def CQMaterializeParameters : CQ_ModulePass<"cq-materialize-parameters"> {
  let summary = "Evaluate quantized weights";
  let description = [{
    Inline weights: chains of extract_cherries, quantize and pack over a constant
    become constants (dense_resource). Weights by reference: with `parameters` and
    `parameters-out` the chains over an extern `ml_program.global` are evaluated
    tensor by tensor from one archive into another, and become globals named
    "<weight>:codes", "<weight>:scales"…; other tensors the module refers to are
    copied as f32, so that the new archive is complete.

    Chains whose quantizer or criterion needs to know a weight's input or its
    gradients are evaluated with `statistics`, a weight at a time; weights that
    read one input share the factorisation of its second moments. Statistics
    measured on other values are refused. Where second moments cannot be
    factorised a remark says that weighted mse was used.
  }];
  let options = [
    Option<"parameters", "parameters", "std::string", "\"\"", "Archive to read (GGUF, safetensors, llama2.c)">,
    Option<"parametersOut", "parameters-out", "std::string", "\"\"", "safetensors archive to write">,
    Option<"statistics", "statistics", "std::string", "\"\"", "Statistics file of `cq calibrate`: gptq and the criteria impact and activation need it, mse and quant-error use it">,
    Option<"threads", "threads", "unsigned", "0", "Threads (0: all); the bytes do not depend on it">,
    Option<"reuse", "reuse", "bool", "false", "Keep the planes of weights by reference in the cache folder ($CQ_CACHE_DIR) and take from there what was made before">,
    Option<"progress", "progress", "bool", "false", "Show a line of progress a tensor on stderr">];
  let statistics = [
    Statistic<"numWeights", "num-weights", "Weights evaluated">,
    Statistic<"numReused", "num-reused", "Weights whose planes were in the cache folder">,
    Statistic<"numBytes", "num-bytes", "Bytes of their planes">,
    Statistic<"numFallbacks", "num-fallbacks", "Weights quantized by mse because gptq could not">,
    Statistic<"numCopied", "num-copied", "Tensors copied unchanged">];
}

def CQFoldWeights : CQ_ModulePass<"cq-fold-weights"> {
  let summary = "Move the numbers of weights that are no matrix where they are";
  let description = [{
    A weight is read as [N, K] or [K, N] of its whole constant. A slice of a fused
    weight (q, k and v in one), and axes of N on both sides of K (experts
    [E, K, N] that a product reads as [K, E N]), are neither: slices, reshapes
    and transposes of a constant in front of a product become a constant of their
    own, `name.at<offset>x…` for a slice. Only where tracing would otherwise
    give up; constants by reference stay.
  }];
  let statistics = [
    Statistic<"numFolded", "num-folded", "Constants made">];
}

def CQRaiseDequantMatmul : CQ_ModulePass<"cq-raise-dequant-matmul"> {
  let summary = "Products with weights that other tools decode become cq.matmul";
  let description = [{
    A weight that is decoded in front of its product, scale · (code − zero), by
    `linalg` ops (one or several: conversions, shifts, masks, subtraction,
    multiplication, with reshapes and transposes between them) or by
    `quant.scast` and `quant.dcast` with a type per tensor, axis or block, becomes
    planes of the smallest scheme that holds its codes, and the product
    `cq.matmul`: no number changes, nothing is quantized again. Codes and scales
    are constants, globals with a value, or tensors of `parameters`. What has no
    scheme here (groups of other lengths, codes of more than 8 bits) is left with
    a remark.

    `onnx.MatMulNBits` and `onnx.DequantizeLinear` with blocks, which
    iree-import-onnx leaves as `torch.operator` and IREE's pipelines cannot lower,
    become ops of plain ONNX that they can (in the generic form, with
    --allow-unregistered-dialect); on what is then lowered to `linalg` this pass
    does the rest.
  }];
  let options = [
    Option<"parameters", "parameters", "std::string", "\"\"", "Archive of globals by reference">];
  let statistics = [
    Statistic<"numRaised", "num-raised", "Products that became cq.matmul">,
    Statistic<"numExpanded", "num-expanded", "Ops of ONNX that became plain ones">,
    Statistic<"numLeft", "num-left", "Products left as they were">];
}

def CQObserve : CQ_ModulePass<"cq-observe"> {
  let summary = "Insert cq.observe where a calibration run looks";
  let description = [{
    Instruments `function` and the private functions it calls: `input` in front of
    products with a weight (one for all that read the same value), `gram` (XᵀX of
    the same rows) on request, and `block` behind calls marked `cq.block` by the
    importer. What each number is of goes into the module attribute
    `cq.observations`.

    A private function that observes gets a last `index` argument, the number of
    its first observation: equal blocks stay equal and still merge. A function
    that others call too is copied first.
  }];
  let options = [
    Option<"function", "function", "std::string", "\"loss\"", "The function that a calibration run calls">,
    Option<"moments", "moments", "bool", "true", "Observe the inputs of products with a weight">,
    Option<"gram", "gram", "bool", "false", "Observe their Gram matrices">,
    Option<"blocks", "blocks", "bool", "true", "Observe what enters and leaves transformer blocks">];
  let statistics = [
    Statistic<"numInputs", "num-inputs", "Inputs observed">,
    Statistic<"numGrams", "num-grams", "Gram matrices observed">,
    Statistic<"numBlocks", "num-blocks", "Blocks observed">];
}

#endif // CQ_DIALECT_CQ_TRANSFORMS_PASSES_TD
