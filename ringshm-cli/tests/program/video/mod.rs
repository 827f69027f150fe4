//! Video through rings of frames, to and from ffmpeg: every frame, in both directions, whoever is killed, and whatever the input is.

mod clip;
mod crossing;
mod forms;
mod gstreamer;
mod killing;
mod preview;
mod refusals;
