"""Train a network of your own through a circuit: any module, any optimiser of torch."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

import qnnw

images, labels = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
images = (images.float().view(-1, 1, 8, 8) - 4.9) / 6.0
train, test = slice(0, 1400), slice(1400, None)

net = nn.Sequential(
    nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
    nn.Linear(72, 10),
)  # fmt: skip
model = qnnw.nn.QuantumTrain(net, reps=14, seed=0)
model.print_trainable_parameters()  # angles, gamma and BatchNorm's 8 scales; 818 numbers are made

optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 30)
order = torch.Generator().manual_seed(0)
for _epoch in range(30):
    for batch in torch.randperm(1400, generator=order).split(64):
        optimizer.zero_grad()
        functional.cross_entropy(model(images[batch]), labels[batch]).backward()
        optimizer.step()
    schedule.step()

model.eval()
with torch.no_grad():
    accuracy = (model(images[test]).argmax(1) == labels[test]).float().mean().item()
print(f"test accuracy {accuracy:.3f} with {model.num_trainable_parameters} trained numbers")
