"""Engines for CPUs; on other processors, and for models that they do not know, transformers' and PEFT's code runs."""
