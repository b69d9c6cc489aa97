"""What is told of a network: figures, tables, pictures, model cards."""
