"""The command line: parse, call one stage, render. No tensors here."""
