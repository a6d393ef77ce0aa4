//! A change that others wait for is announced by setting the times of the database file: the kernel
//! notifies every process that watches the file (inotify).
//!
//! A heartbeat does not set them, and a write of SQLite is another event, so heartbeats wake nobody.
//! No other file is needed, and a process that may write the database may also set its times. This
//! is only a wake-up signal; correctness never depends on it.
//!
//! Neither the announcement nor the watch opens the file: closing it would drop the locks that
//! SQLite holds on it in this process.

#[cfg(target_os = "linux")]
pub(super) use linux::{FileWatch, announce};
#[cfg(not(target_os = "linux"))]
pub(super) use unsupported::{FileWatch, announce};

/// This system notifies of files whose times are set.
pub(super) const IS_SUPPORTED: bool = cfg!(target_os = "linux");

#[cfg(target_os = "linux")]
mod linux {
    use std::mem::MaybeUninit;
    use std::os::fd::OwnedFd;
    use std::path::Path;
    use std::sync::Arc;
    use std::{io, thread};

    use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};
    use rustix::io::Errno;
    use tokio::sync::Notify;

    /// The thread that reads events needs little of it.
    const STACK_SIZE: usize = 64 * 1024;

    /// Sets the times of the file. If that fails, watches find the change when they poll.
    pub(in super::super) fn announce(path: &Path) {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        if let Err(error) = utimensat(CWD, path, &times, AtFlags::empty()) {
            tracing::debug!(%error, "cannot set the times of the database file");
        }
    }

    /// A file watch notices when the times of a file are set, until it is dropped.
    ///
    /// A thread waits for the kernel's events, because the runtime of a watch need not have an I/O
    /// driver.
    #[derive(Debug)]
    pub(in super::super) struct FileWatch {
        inotify: Arc<OwnedFd>,
        descriptor: i32,
        announced: Arc<Notify>,
    }

    impl FileWatch {
        pub(in super::super) fn new(path: &Path) -> io::Result<Self> {
            let inotify = Arc::new(inotify::init(CreateFlags::CLOEXEC)?);
            let descriptor = inotify::add_watch(&*inotify, path, WatchFlags::ATTRIB)?;
            let announced = Arc::new(Notify::new());
            let watch = Self { inotify, descriptor, announced };
            let (inotify, announced) = (Arc::clone(&watch.inotify), Arc::clone(&watch.announced));
            thread::Builder::new()
                .name("leasehold-watch".to_owned())
                .stack_size(STACK_SIZE)
                .spawn(move || read_events(&inotify, &announced))?;
            Ok(watch)
        }

        /// Waits until the times were set since the last return; of a deleted file this waits
        /// forever.
        ///
        /// # Cancel safety
        /// Dropping the future loses no event.
        pub(in super::super) async fn announced(&self) {
            self.announced.notified().await;
        }

        #[cfg(test)]
        pub(super) fn inotify(&self) -> std::sync::Weak<OwnedFd> {
            Arc::downgrade(&self.inotify)
        }
    }

    impl Drop for FileWatch {
        fn drop(&mut self) {
            // This is an event too, at which the thread ends. It fails if the file was deleted, and
            // then the thread has ended.
            let _ = inotify::remove_watch(&*self.inotify, self.descriptor);
        }
    }

    fn read_events(inotify: &OwnedFd, announced: &Notify) {
        let mut buffer = [MaybeUninit::uninit(); 1024];
        let mut events = Reader::new(inotify, &mut buffer);
        loop {
            match events.next() {
                Ok(event) if event.events().contains(ReadFlags::IGNORED) => return,
                Ok(_) => announced.notify_one(),
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod unsupported {
    use std::io;
    use std::path::Path;

    pub(in super::super) fn announce(_: &Path) {}

    /// This system notifies of no files in a way that this module uses.
    #[derive(Debug)]
    pub(in super::super) enum FileWatch {}

    impl FileWatch {
        pub(in super::super) fn new(_: &Path) -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(in super::super) async fn announced(&self) {
            match *self {}
        }
    }
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use futures_util::FutureExt;
    use tokio::time::{sleep, timeout};

    use super::*;

    const HANG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_watch_notices_announcements_and_no_writes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        fs::write(&path, "").unwrap();
        let watches = [FileWatch::new(&path).unwrap(), FileWatch::new(&path).unwrap()];
        for round in 0..3 {
            fs::write(&path, format!("round {round}")).unwrap();
            sleep(Duration::from_millis(50)).await;
            for watch in &watches {
                assert!(watch.announced().now_or_never().is_none(), "round {round}");
            }
            announce(&path);
            for watch in &watches {
                timeout(HANG, watch.announced()).await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn the_thread_of_a_watch_ends_with_it() {
        let folder = tempfile::tempdir().unwrap();
        for deleted in [false, true] {
            let path = folder.path().join("x.db");
            fs::write(&path, "").unwrap();
            let watch = FileWatch::new(&path).unwrap();
            if deleted {
                fs::remove_file(&path).unwrap();
            }
            let inotify = watch.inotify();
            drop(watch);
            let ended = async {
                while inotify.strong_count() > 0 {
                    sleep(Duration::from_millis(1)).await;
                }
            };
            timeout(HANG, ended).await.unwrap();
        }
        assert!(FileWatch::new(&folder.path().join("none")).is_err());
    }
}
