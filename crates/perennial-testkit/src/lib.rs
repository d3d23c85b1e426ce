//! For tests only: a faulty proxy, processes to kill, a browser, sample data.
