# ---
# jupyter:
#   jupytext: {text_representation: {extension: .py, format_name: percent}}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# Any torch module trains through a circuit: its weights are made from a few angles, the rest stays
# as it is. Here a small convolutional network learns to read digits.

# %%
import torch
from sklearn.datasets import load_digits
from torch import nn

import qnnw

# %%
digits = load_digits()
images, labels = torch.as_tensor(digits.data), torch.as_tensor(digits.target)
images = (images.float().view(-1, 1, 8, 8) - 4.9) / 6.0
train, test = slice(0, 1400), slice(1400, None)

# %%
net = nn.Sequential(
    nn.Conv2d(1, 8, kernel_size=3),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Linear(72, 10),
)
model = qnnw.nn.QuantumTrain(net, reps=16, seed=0)
model

# %% [markdown]
# The model is a module with few parameters, for any optimiser of torch.

# %%
optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
losses = []
torch.manual_seed(0)  # of the order of the samples
for _epoch in range(20):
    for batch in torch.randperm(1400).split(64):
        loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    losses.append(loss.item())
print(" ".join(f"{loss:.2f}" for loss in losses[::4]))

# %% [markdown]
# Merged, it is the plain network again: no circuit, and no qnnw, in it.

# %%
plain = model.merge_and_unload().eval()
with torch.no_grad():
    accuracy = (plain(images[test]).argmax(1) == labels[test]).float().mean()
trained = model.num_trainable_parameters
print(f"test accuracy {accuracy:.2f} with {trained} trained numbers")

# %% [markdown]
# To ship it, [save a recipe](../guide/compress_to_a_recipe.md) of a few kB; on your own data and
# with a record of the run, [`qnnw.train`](../guide/train_on_your_own_data.md) does the loop.
