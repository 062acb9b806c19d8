"""A data set of one's own, with random variations, read ahead by two worker processes."""

import torchplug as torch
from torchplug.utils.data import DataLoader, Dataset, get_worker_info, random_split


class Spirals(Dataset):
    """Points on two spirals, each time with fresh noise."""

    def __init__(self, count):
        self.angles = torch.linspace(0.5, 2.0, count // 2) * 3.0

    def __len__(self):
        return 2 * len(self.angles)

    def __getitem__(self, index):
        arm, place = index % 2, index // 2
        angle = self.angles[place]
        side = 1.0 - 2.0 * arm
        point = side * angle / 3.0 * torch.stack((torch.cos(angle), torch.sin(angle)))
        return point + 0.01 * torch.randn(2), arm


def introduce(worker_id):
    """Runs in each worker before it reads anything."""
    info = get_worker_info()
    assert info.id == worker_id and info.num_workers == 2


def main():
    torch.manual_seed(0)
    training, testing = random_split(Spirals(1000), [0.8, 0.2])
    loader = DataLoader(training, 50, shuffle=True, num_workers=2, worker_init_fn=introduce, persistent_workers=True)

    model = torch.nn.Sequential(
        torch.nn.Linear(2, 64), torch.nn.ReLU(), torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 2)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for epoch in range(20):
        for points, arms in loader:
            loss = torch.nn.functional.cross_entropy(model(points), arms)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if epoch % 5 == 4:
            print(f"epoch {epoch + 1:2}  loss {loss.item():.4f}")

    with torch.no_grad():
        points, arms = next(iter(DataLoader(testing, len(testing))))
        right = (model(points).argmax(1) == arms).float().mean().item()
    print(f"test accuracy {right:.1%}")


if __name__ == "__main__":
    main()
