"""Storage in a bucket, and inputs out of buckets."""
