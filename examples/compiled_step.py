"""The same training step on every backend that is here, plain and compiled, with the time each takes."""

import time

import torchplug as torch


def measure(backend, compiled, steps=50):
    with torch.use_backend(backend):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(784, 256), torch.nn.ReLU(), torch.nn.Linear(256, 10))
        optimizer = torch.optim.Adam(model.parameters())
        images, labels = torch.randn(128, 784), torch.randint(10, (128,))

        def step():
            loss = torch.nn.functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        run = torch.compile(step) if compiled else step
        first = run().item()
        for _ in range(3):  # a compiled step watches, compiles, then runs
            run().item()
        start = time.perf_counter()
        for _ in range(steps):
            loss = run()
        last = loss.item()
        return first, last, (time.perf_counter() - start) / steps


def main():
    backends = torch.backends.available()
    width = max(len(name) for name in ("backend", *backends)) + 2
    print(f"{'backend':{width}}{'step':10}{'first loss':>12}{'last loss':>12}{'ms':>10}")
    for backend in backends:
        for compiled in (False, True):
            first, last, seconds = measure(backend, compiled)
            kind = "compiled" if compiled else "plain"
            print(f"{backend:{width}}{kind:10}{first:12.4f}{last:12.4f}{seconds * 1e3:10.2f}")


if __name__ == "__main__":
    main()
