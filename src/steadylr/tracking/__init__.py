"""Finished runs and answers, sent to the tracker that people look at: TensorBoard, MLflow, Weights & Biases."""
