"""The packager plugin: HLS and DASH from one set of fragmented MP4 segments, by Shaka Packager."""
