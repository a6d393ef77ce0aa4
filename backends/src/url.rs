//! From a URL to a store.
//!
//! | URL | Store |
//! |---|---|
//! | `memory:` | this process's memory; each opening is a store of its own |
//! | `sqlite:PATH`, `sqlite://PATH` | an SQLite file, with feature `sqlite` |
//! | `sqlite::memory:` | an SQLite database in this process's memory, with feature `sqlite` |
//! | `postgres://USER:PASSWORD@HOST/DATABASE`, `postgresql://…` | PostgreSQL, with feature `postgres` |
//! | `mysql://USER:PASSWORD@HOST/DATABASE`, `mariadb://…` | MySQL or MariaDB, with feature `mysql` |
//! | `redis://…`, `rediss://…`, `valkey://…`, `redis+unix:///PATH`, `redis+cluster://…`, `redis+sentinel://…` | Redis or Valkey, with feature `redis` |
//! | `mongodb://HOST/DATABASE` | MongoDB, with feature `mongodb` |
//! | `mongodb+srv://HOST/DATABASE` | MongoDB, whose servers DNS names, with feature `mongodb-srv` |
//! | `etcd://HOST:PORT,HOST:PORT`, `etcds://…` | etcd, with feature `etcd` |
//!
//! Options such as those of TLS are each driver's own; the page of each backend lists them.
//!
//! User and password are percent-encoded, and so is an `@` behind the host (`%40`), but for one in the
//! value of the option `appName`, or of any where the host has neither password nor port before it.
//!
//! The PATH of an SQLite file is taken literally, relative to the working folder unless it starts
//! with `/`: nothing in it is percent-decoded, and `?` and `#` are characters like others. Schemes
//! are read without regard to case.

pub use crate::open_options::{OpenOptions, Schema};
pub use crate::registry::{open, schema};
