"""`python -m fedboard_host` is the `fedboard` command."""

from fedboard_host.cli import main

if __name__ == "__main__":
    main()
