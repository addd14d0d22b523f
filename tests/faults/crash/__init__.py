"""One life at a time, hit at a call: by death, error, power cut, an attack; and the judge of what is left."""
