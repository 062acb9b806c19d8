"""The main module of processes that a program under `torchplug run` starts: they get the program's definitions."""

if __name__ == "__mp_main__":
    from torchplug.scripts import load_again

    load_again(globals())
