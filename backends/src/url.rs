//! Opens stores by their URLs.
//!
//! | URL | Store |
//! |---|---|
//! | `memory:` | this process's memory; each call opens a separate store |
//! | `sqlite:PATH`, `sqlite://PATH` | an SQLite file, with feature `sqlite` |
//! | `sqlite::memory:` | an SQLite database in this process's memory, with feature `sqlite` |
//! | `postgres://USER:PASSWORD@HOST/DATABASE`, `postgresql://…` | PostgreSQL, with feature `postgres` |
//! | `mysql://USER:PASSWORD@HOST/DATABASE`, `mariadb://…` | MySQL or MariaDB, with feature `mysql` |
//! | `redis://…`, `rediss://…`, `valkey://…`, `redis+unix:///PATH`, `redis+cluster://…`, `redis+sentinel://…` | Redis or Valkey, with feature `redis` |
//! | `mongodb://HOST/DATABASE` | MongoDB, with feature `mongodb` |
//! | `mongodb+srv://HOST/DATABASE` | MongoDB, whose servers DNS names, with feature `mongodb-srv` |
//! | `etcd://HOST:PORT,HOST:PORT`, `etcds://…` | etcd, with feature `etcd` |
//!
//! Options, such as those for TLS, differ between drivers; the page of each backend lists them.
//!
//! User and password are percent-encoded. An `@` after the host is written `%40`, except in the
//! value of the option `appName`, and except in the value of any option if the URL has neither a
//! password nor a port.
//!
//! The PATH of an SQLite file is taken literally, relative to the working folder unless it starts
//! with `/`: nothing in it is percent-decoded, and `?` and `#` have no special meaning. The case of
//! schemes is ignored.

pub use crate::open_options::{OpenOptions, Schema};
pub use crate::registry::{open, schema};
pub use crate::store_address::StoreAddress;
