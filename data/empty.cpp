namespace sotto {}
