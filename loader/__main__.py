"""`python -m loader` is `vmhub`."""

from loader.cli.app import main

if __name__ == "__main__":
    main()
