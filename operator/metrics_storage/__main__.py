"""`python -m metrics_storage` is `metrics-storage`."""

import sys

from metrics_storage.cli.main import main

sys.exit(main())
