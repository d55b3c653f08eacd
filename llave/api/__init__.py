"""The functions behind `import llave`: what a notebook or a script needs. The command line uses `engine` of it."""
