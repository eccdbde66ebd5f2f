"""Multi-object tracking by detection: a motion model in seconds, association by overlap, and the life of a track."""
