#!/bin/sh
# What the eic_xl image sets when a container starts: its programs in PATH, and the detector, unless the user has set one.
# IMAGE_ROOT is set by the stand-in for apptainer alone, where the image is a folder and not the root.
PATH=${IMAGE_ROOT:-}/opt/local/bin:$PATH
if [ -z "${DETECTOR_PATH:-}" ] && [ -z "${DETECTOR_CONFIG:-}" ]; then
  DETECTOR_PATH=${IMAGE_ROOT:-}/opt/detector/epic-26.05.0/share/epic
  DETECTOR_CONFIG=epic
fi
export PATH DETECTOR_PATH DETECTOR_CONFIG
