#!/usr/bin/env bash
# Sourced by every pipeline: the environment variables that they share. Not a pipeline itself.
#
#   DATA=DIR         the raw data (all but quickstart.sh)
#   ARTIFACTS=DIR    the store (default: artifacts)
#   RESULTS=DIR      also keep the results there, a JSON file a preset, with provenance
#   PRESETS="..."    which presets to train (default: "paper plus")
#   FAST=1           few instances and epochs: checks the way, its figures mean nothing
#   RRNET="..."      the command (default: rrnet on the PATH, else the one in .venv)

# shellcheck disable=SC2034 # the arrays are read by the scripts that source this

PATH="$PATH:$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.venv/bin"
export RRNET_ARTIFACTS="${ARTIFACTS:-${RRNET_ARTIFACTS:-artifacts}}"
read -ra rrnet_words <<<"${RRNET:-rrnet}"
read -ra presets <<<"${PRESETS:-paper plus}"

# What the scripts add to extract, train and eval.
fast_extract=() fast_train=()
if [[ ${FAST:-0} == 1 ]]; then
  fast_extract=(--epochs 1)
  fast_train=(--epochs 3)
fi

rrnet() {
  echo "+ rrnet $*" >&2
  command "${rrnet_words[@]}" "$@"
}

# need_data WHAT: stop with a clear line where DATA is not given.
need_data() {
  if [[ -z ${DATA:-} ]]; then
    echo "error: DATA is not set" >&2
    echo "hint: DATA=/path/to/$1 $0" >&2
    exit 2
  fi
}

# keep_as NAME: leaves in `keep` the flag that keeps an evaluation, where RESULTS is given.
keep_as() {
  keep=()
  if [[ -n ${RESULTS:-} ]]; then
    mkdir -p "$RESULTS"
    keep=(--save-results "$RESULTS/$1.json")
  fi
}

# use_preset NAME FLAGS...: leaves in `rates` the paper's own rates, or nothing for another preset,
# which brings its own.
use_preset() {
  rates=()
  if [[ $1 == paper ]]; then
    rates=("${@:2}")
  fi
}
