"""What must hold of the whole, from a program's call to the verdict of an audit."""
