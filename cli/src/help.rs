//! These texts follow the options in the help and in the manual pages.

/// This follows the help of the program itself.
pub(crate) const AFTER_HELP: &str = "\
Stores:
  sqlite:PATH                             an SQLite file, for the processes of one machine
  postgres://USER:PASSWORD@HOST/DATABASE  PostgreSQL
  mysql://USER:PASSWORD@HOST/DATABASE     MySQL or MariaDB
  redis://HOST                            Redis or Valkey; also redis+cluster:, redis+sentinel:
  mongodb://HOST/DATABASE                 MongoDB
  etcd://HOST:PORT,HOST:PORT              etcd, in a build with the feature etcd
  memory:                                 this process's own memory, for experiments
  Default: an SQLite file in the user's state folder ($XDG_STATE_HOME/leasehold, else
  ~/.local/state/leasehold).

Settings:
  Each setting comes from the first of these that has it: its option (--stop-grace 5s), its
  environment variable (LEASEHOLD_STOP_GRACE), the configuration file (stop_grace = \"5s\"), its
  default. `leasehold config` shows every setting and its source.

Exit statuses:
  0         done
  1         the store did not respond, or another failure
  2         invalid arguments or settings, or a store that cannot be opened or written; run: the name
            is in use as another kind of lock, or its queue is full
  75        run: the lock was not acquired within --wait; --conflict-exit-code chooses another
            status if it is held or disabled
  76        run: the lock was lost, or disabled, while the command ran
  126       run: the command or its interpreter cannot be run
  127       run: the command does not exist
  other     run: the command's own status, or 128+N when signal N ended it

Output is coloured on terminals, unless NO_COLOR is set.";

/// This follows the help of `serve`.
pub(crate) const SERVE_HELP: &str = "\
Without a token, only local requests are accepted, and only a loopback address can be used. The
token is in --token-file, or is the value of the environment variable LEASEHOLD_ADMIN_TOKEN, which
overrides a configuration file's admin_token_file. Create one with: openssl rand -hex 32

The API describes itself at /openapi.json; Prometheus fetches this process's metrics at /metrics.";

/// This follows the help of `run`.
pub(crate) const RUN_HELP: &str = "\
The command finds the lock's name in LEASEHOLD_LOCK and the fencing token in LEASEHOLD_TOKEN: a
number that grows with every grant. Pass it to the resource that the lock protects, which should
refuse a token smaller than one it has seen.

--fair, --permits, --read and --write use a lock with a queue, in which this process waits for its
turn; the store must have queues. A name is in use as one kind of lock at a time, with one number of
permits: another is refused with status 2. Several processes may then hold the lock at once, with
--permits or --read. The smallest token of those that do is in LEASEHOLD_FLOOR if it is not the
command's own: the resource keeps the largest floor it has seen, and refuses smaller tokens.

With --fence URL, the fence of that database is raised before the command is started: from then on
no transaction can commit that has checked the fence of an older term (see the crate
leasehold-fence). With --permits or --read it is raised to the floor, so that the others that hold
the lock can still commit. If older transactions are still open after --fence-limit, or the database
cannot be reached until then, the command is started although the fence is not raised yet; the
command's own checks fail until it is.

It runs in its own process group, which never outlives the lease: a watchdog process ends the group
even if this process is stopped, killed or disconnected. A process that leaves the group is not
ended: it has called setsid, or is a job of an interactive shell. Processes that still run in the
group when the command exits are ended too, before the lock is released.

If this process is killed, the watchdog releases the lock as soon as the group has ended, so that
another instance takes over at once. If a process of the group cannot be ended, or on Linux if one
that left the group still runs with the variables above, the lock stays held until its lease expires.

On Linux the command itself is killed (SIGKILL) as soon as this process is, even if the watchdog is
killed at the same moment; processes that the command started then continue if the watchdog is gone
too. A command with its own privileges (setuid, file capabilities), such as sudo, has only the
watchdog.

SIGINT and SIGTERM are forwarded, and SIGKILL follows after the stop grace. SIGHUP, SIGQUIT,
SIGUSR1, SIGUSR2 and SIGWINCH are forwarded.

On a terminal the command is in the foreground, as under a shell: it reads the keyboard, Ctrl-C goes
to it alone, and Ctrl-Z suspends it together with this process. The lock is not renewed while
suspended, so the command is ended when its lease ends. If Ctrl-C ends the command, this process
ends by the same signal, which ends a script around it. In a pipeline the command gets the terminal
only when it uses it, and other commands of the pipeline that use it, such as a pager, then wait
until the command has ended. Ctrl-Z in a pipeline suspends this process but not a command that has
not used the terminal; it is ended when its lease ends. A command in the background that needs the
terminal waits until it is brought to the foreground, with the lock held, and this process says so.

For cron: --wait 0 --quiet --conflict-exit-code 0 tries once, and prints only errors.

As the first process of a container, this process also reaps orphans.

--metrics accepts only local requests unless there is a token, in --token-file or in the
environment variable LEASEHOLD_ADMIN_TOKEN. With --tls-cert and --tls-key it uses TLS. The command
then does not inherit that token, nor the variables that set the lock and the metrics' address.

Durations are written as 250ms, 15s, 1m30s. Exit statuses: see `leasehold --help`.";

/// This follows the help of `resign`.
pub(crate) const RESIGN_HELP: &str = "\
Disables the lock and enables it again at once, so the holder stops as it would after a disable and
may lead again later. A lock that nobody holds, or that is already disabled, is not changed. If the
lock has several holders, all of them stop, and those that wait in its queue enter it again.

If this command is interrupted in between, or the store stays unreachable, the lock stays disabled
with that reason until it is enabled.";

/// This follows the help of `prune`.
pub(crate) const PRUNE_HELP: &str = "\
Removes names that are not held, that are enabled, and whose latest grant is at least that long
ago by the store's clock. It is safe while others use the store: each record is checked and removed
in one operation, and the next grant of a removed name has a larger token than every grant before,
because tokens follow the store's clock. Names are printed before they are removed, a page at a
time, so an interrupted command has removed only names that it printed.";
