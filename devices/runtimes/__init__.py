"""Host halves of the runtimes: each turns ONNX bytes into what its half in the agent loads."""
