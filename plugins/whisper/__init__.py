"""Speech to text: the whisper plugin, and the program it runs as its tool."""
