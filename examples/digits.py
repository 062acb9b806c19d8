"""A convolutional network learns to read handwritten digits, step by step as in PyTorch's tutorials."""

import argparse

import torchplug as torch
import torchplug.nn as nn
import torchplug.nn.functional as F
from torchplug.utils.data import DataLoader
from torchplug.vision import transforms
from torchplug.vision.datasets import Digits


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3)
        self.conv2 = nn.Conv2d(16, 32, 3)
        self.dropout = nn.Dropout(0.25)
        self.fc1 = nn.Linear(800, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = self.dropout(torch.flatten(x, 1))
        return self.fc2(F.relu(self.fc1(x)))


def train(model, loader, optimizer):
    model.train()
    total = 0.0
    for images, labels in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(labels)
    return total / len(loader.dataset)


@torch.no_grad()
def test(model, loader):
    model.eval()
    right = sum((model(images).argmax(1) == labels).sum().item() for images, labels in loader)
    return right / len(loader.dataset)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--backend", help="numpy, jax, cupy, ...")
    parser.add_argument("--save", metavar="FILE", default="digits.pt")
    args = parser.parse_args()
    if args.backend:
        torch.set_backend(args.backend)

    torch.manual_seed(0)
    varied = transforms.Compose(
        [transforms.RandomCrop(28, padding=2), transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))]
    )
    plain = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])
    train_loader = DataLoader(Digits(train=True, transform=varied, size=28), batch_size=64, shuffle=True)
    test_loader = DataLoader(Digits(train=False, transform=plain, size=28), batch_size=256)

    model = Net()
    print(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=4, gamma=0.5)
    for epoch in range(args.epochs):
        loss = train(model, train_loader, optimizer)
        scheduler.step()
        print(f"epoch {epoch + 1}  loss {loss:.4f}  test accuracy {test(model, test_loader):.2%}")

    torch.save(model.state_dict(), args.save)
    print(f"saved to {args.save}")


if __name__ == "__main__":
    main()
