# REQUIRES: highspy, numpy
# RUN: %python %s %t | FileCheck %s
# CHECK: 18 problems, 54 budgets: all answers equal
"""cq solve against HiGHS on random problems of medium size.

The MIP: one binary a choice, products of pairs linearised (McCormick), groups by equal
binaries. Written from the definition in include/cq/Solver/RatioProblem.h, not from the
solver."""
import json
import subprocess
import sys

import highspy
import numpy as np


def random_problem(rng, blocks, layers, choices, interaction, tied, coupled, ties):
    problem = {"cq_ratio_problem": 1, "layers": [], "blocks": [], "groups": []}
    for b in range(blocks):
        first = len(problem["layers"])
        for l in range(layers):
            loss, list_ = 1 + rng.random(), []
            size = int(rng.integers(1000, 5000))
            for c in range(choices):
                cost = int(rng.integers(1, 4)) + 2 * c if ties else size * (2 + c) + int(rng.integers(100))
                list_.append({"cost": cost, "loss": round(loss, 1) if ties else loss,
                              "bits": 2 + c, "label": f"b{2 + c}"})
                loss *= 0.2 + 0.6 * rng.random()
            layer = {"name": f"blk.{b}.{l}", "choices": list_}
            if rng.random() < 0.05:
                layer["pin"] = int(rng.integers(choices))
            elif rng.random() < 0.05:
                layer["floor"] = 3
            problem["layers"].append(layer)
        if tied:
            for l in (first, first + 1):
                problem["layers"][l].pop("pin", None)
                problem["layers"][l].pop("floor", None)
            problem["groups"].append([first, first + 1])
        size = layers * choices
        m = interaction * (2 * rng.random((size, size)) - 1)
        m = np.round(m + m.T, 1) if ties else m + m.T
        for l in range(layers):
            m[l * choices:(l + 1) * choices, l * choices:(l + 1) * choices] = 0
        problem["blocks"].append({"layers": list(range(first, first + layers)), "matrix": m.tolist()})
    couplings = []
    for _ in range(coupled):
        a, c = rng.integers(0, blocks, 2)
        if a != c:
            couplings.append([int(a * layers), int(rng.integers(choices)), int(c * layers + 1),
                              int(rng.integers(choices)), float(rng.random() - 0.5)])
    if couplings:
        problem["couplings"] = couplings
    return problem


def solve_by_mip(problem, budget):
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("mip_rel_gap", 0.0)
    highs.setOptionValue("mip_abs_gap", 1e-9)
    objective = 0
    x = [[highs.addBinary() for _ in layer["choices"]] for layer in problem["layers"]]
    spent = 0
    for layer, own in zip(problem["layers"], x):
        highs.addConstr(sum(own) == 1)
        for c, (choice, variable) in enumerate(zip(layer["choices"], own)):
            objective += choice["loss"] * variable
            spent += choice["cost"] * variable
            if layer.get("pin", c) != c or choice["bits"] < layer.get("floor", 0):
                highs.addConstr(variable == 0)
    highs.addConstr(spent <= budget)
    for group in problem["groups"]:
        for other in group[1:]:
            for a, b in zip(x[group[0]], x[other]):
                highs.addConstr(a == b)

    def product(a, b, value):
        nonlocal objective
        if value == 0:
            return
        p = highs.addVariable(lb=0, ub=1)
        highs.addConstr(p <= a)
        highs.addConstr(p <= b)
        highs.addConstr(p >= a + b - 1)
        objective += value * p

    for block in problem["blocks"]:
        variables = [(l, c) for l in block["layers"] for c in range(len(x[l]))]
        for i, (l, c) in enumerate(variables):
            for j, (k, d) in enumerate(variables[:i]):
                if l != k:
                    product(x[l][c], x[k][d], block["matrix"][i][j])
    for l, c, k, d, value in problem.get("couplings", []):
        product(x[l][c], x[k][d], value)
    highs.minimize(objective)
    assert highs.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return highs.getInfo().objective_function_value


def value_of(problem, choices):
    """½ δᵀMδ, counted once more."""
    value = sum(layer["choices"][c]["loss"] for layer, c in zip(problem["layers"], choices))
    for block in problem["blocks"]:
        starts, position = {}, 0
        for l in block["layers"]:
            starts[l] = position + choices[l]
            position += len(problem["layers"][l]["choices"])
        chosen = list(starts.values())
        value += sum(block["matrix"][a][c] for i, a in enumerate(chosen) for c in chosen[:i])
    return value + sum(v for l, c, k, d, v in problem.get("couplings", [])
                       if choices[l] == c and choices[k] == d)


def main(path):
    problems = budgets = 0
    for seed in range(18):
        rng = np.random.default_rng(seed)
        large = seed % 4 == 3  # many layers, no interactions
        problem = random_problem(rng, *((12, 7, 6, 0.0) if large else (3, 4, 3, [0.05, 0.3, 1.0][seed % 3])),
                                 tied=seed % 2 == 0, coupled=seed % 5 == 4 and 4, ties=seed % 6 == 5)
        with open(path + ".json", "w") as file:
            json.dump(problem, file)
        low = sum(min(c["cost"] for c in l["choices"]) for l in problem["layers"])
        high = sum(max(c["cost"] for c in l["choices"]) for l in problem["layers"])
        wanted = [low + (high - low) * i // 10 for i in (4, 5, 7)]
        result = subprocess.run(["cq", "solve", path + ".json", "--budget=" + ",".join(map(str, wanted))],
                                capture_output=True, text=True)
        assert result.returncode == 0, (seed, result.stderr)
        problems += 1
        for budget, answer in zip(wanted, json.loads(result.stdout)):
            budgets += 1
            best = solve_by_mip(problem, budget)
            assert answer["cost"] <= budget
            assert abs(value_of(problem, answer["choices"]) - answer["value"]) < 1e-9, seed
            assert abs(answer["value"] - best) < 1e-6, (seed, budget, answer["value"], best)
            assert answer["gap"] < 1e-9, (seed, answer["gap"])
    print(f"{problems} problems, {budgets} budgets: all answers equal")


main(sys.argv[1])
