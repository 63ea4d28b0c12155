"""One module a stage: read artifacts, call the domain packages, write one artifact."""
