"""Jobs over HTTP: upload a video, name a pipeline, read the results."""
