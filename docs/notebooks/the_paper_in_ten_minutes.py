# ---
# jupyter:
#   jupytext: {text_representation: {extension: .py, format_name: percent}}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# Liu et al. 2024 train a network without training its weights: they are read off the measurement
# probabilities of a quantum circuit, and only the circuit's angles are trained. The network of this
# notebook has 131 weights and tells three kinds of iris flowers apart.

# %%
import numpy as np

import qnnw

# %% [markdown]
# ## A circuit
# 131 weights need 2^8 ≥ 131 probabilities: eight qubits. A Hadamard on each, then rotations and
# CNOTs, `reps` times. `EfficientSU2` is the paper's circuit; a notebook shows it.

# %%
ansatz = qnnw.EfficientSU2(8, reps=1)
angles = ansatz.random_angles(seed=0)
ansatz

# %%
probabilities = ansatz.probabilities(angles)
print(f"{len(angles)} angles make {len(probabilities)} probabilities")
print(f"their sum is {probabilities.sum():.6f}")

# %% [markdown]
# ## A map
# Every basis state feeds one weight, 125 weights are fed by two; which, and with which sign,
# follows from a seed. A weight is gamma·tanh(± gamma·2^(N-1)·q), where q is the mean of its
# probabilities.

# %%
weight_map = qnnw.WeightMap(131, seed=0)
weights = qnnw.generate_weights(ansatz, angles, weight_map, gamma=0.3)
print(f"131 weights from {np.min(weights):.3f} to {np.max(weights):.3f}")

# %% [markdown]
# ## Training, as in the paper
# Periods of COBYLA on the angles and Nelder-Mead on gamma: no gradient, thousands of evaluations.
# The paper takes 21 periods; three will do here.

# %%
paper = qnnw.train(
    data="iris",
    optimizer="cobyla",
    mapping="paper",
    scale="none",
    gamma=0.3,
    periods=3,
)
paper

# %%
paper.plot()

# %% [markdown]
# ## Training by gradients
# A simulated circuit has exact gradients, for the price of three evaluations, whatever the number
# of angles. These are the package's own settings for iris, with its own map.

# %%
exact = qnnw.train(data="iris")
exact.plot()

# %%
for name, result in (("paper", paper), ("gradients", exact)):
    accuracy, trained = result["test_accuracy"], result["num_trained"]
    print(f"{name}: test accuracy {accuracy:.2f}, {trained} numbers")

# %% [markdown]
# The run's folder has the finished network, an ordinary one. What the circuit is worth beside other
# ways to make 131 weights from few numbers is told in
# [what the circuit is worth](../explanation/what_the_circuit_is_worth.md).
