"""Every primitive, handed to threads, processes, pools, and parts of the standard library, on a real elector."""
