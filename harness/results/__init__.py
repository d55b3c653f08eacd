"""The record of a result, and the files that hold it."""
