"""The life of a storage directory, one journalled step after the other."""
