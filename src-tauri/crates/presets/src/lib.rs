//! What each kind of service knows beyond its process: drive, inspect, detect.
